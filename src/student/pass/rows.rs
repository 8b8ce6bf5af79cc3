//! Rows of a matrix moved to its front and back again, in place. The last layer computes only what is read.

/// The given rows (ascending, each once) become the first ones; what followed is undefined.
pub(super) fn pick(rows: &[u32], width: usize, x: &mut [f32]) {
    for (to, from) in rows.iter().enumerate() {
        let from = *from as usize * width;
        x.copy_within(from..from + width, to * width);
    }
}

/// The first rows become the given ones (ascending, each once), all others nought.
pub(super) fn spread(rows: &[u32], width: usize, x: &mut [f32]) {
    let mut end = x.len() / width.max(1);
    for (from, to) in rows.iter().enumerate().rev() {
        let to = *to as usize;
        x.copy_within(from * width..(from + 1) * width, to * width);
        x[(to + 1) * width..end * width].fill(0.0);
        end = to;
    }
    x[..end * width].fill(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_picked_is_spread_to_where_it_came_from() {
        for rows in [&[][..], &[0], &[3], &[0, 1, 2, 3], &[1, 3], &[0, 2]] {
            let x: Vec<f32> = (1..=8).map(|n| n as f32).collect();
            let mut moved = x.clone();
            pick(rows, 2, &mut moved);
            spread(rows, 2, &mut moved);
            let kept = |i: usize| if rows.contains(&(i as u32 / 2)) { x[i] } else { 0.0 };
            assert_eq!(moved, (0..8).map(kept).collect::<Vec<_>>(), "{rows:?}");
        }
    }
}
