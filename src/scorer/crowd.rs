//! Many requests under way at once, in an order that servers with a prefix cache like: the prompts of one reader stand
//! together.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::error::ScorerError;
use crate::student::{Generated, Prompt};

/// A listener that takes longer has been paused: time limits ran on meanwhile, so what was under way is asked anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Prompts by their system message, otherwise as they come.
fn order(prompts: &[Prompt]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|i| prompts[*i].messages.first().map_or("", |m| m.content.as_str()));
    order
}

/// Asks for every prompt, `parallel` at once, by its index. Answers come back in the prompts' order; after a `Break` of
/// `on_row` those finished so far. What is under way when it ends is dropped, and servers notice.
pub(super) async fn ask_all<F: Future<Output = Result<Generated, ScorerError>>>(
    prompts: &[Prompt],
    parallel: usize,
    ask: impl Fn(usize) -> F,
    on_row: &mut dyn FnMut(&Generated) -> ControlFlow<()>,
) -> Result<Vec<Generated>, ScorerError> {
    let mut waiting = order(prompts).into_iter();
    let mut asked = FuturesUnordered::new();
    let mut done: Vec<(usize, Generated)> = Vec::with_capacity(prompts.len());
    let numbered = |i: usize| {
        let answer = ask(i);
        async move { (i, answer.await) }
    };
    let mut under_way: Vec<usize> = waiting.by_ref().take(parallel.max(1)).collect();
    asked.extend(under_way.iter().copied().map(numbered));
    while let Some((index, answer)) = asked.next().await {
        let row = answer.map_err(|error| error.after(done.len(), prompts.len()))?;
        let told = Instant::now();
        let ended = on_row(&row).is_break();
        done.push((index, row));
        if ended {
            break;
        }
        under_way.retain(|i| *i != index);
        if told.elapsed() > PAUSE {
            asked = FuturesUnordered::new();
            asked.extend(under_way.iter().copied().map(numbered));
        }
        if let Some(next) = waiting.next() {
            under_way.push(next);
            asked.push(numbered(next));
        }
    }
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, row)| row).collect())
}
