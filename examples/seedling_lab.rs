use candle_core::{Device, Tensor};
use std::time::Instant;
use stratos::student::ops::matmul::*;
fn main() {
    for (m, k, n) in
        [(700, 128, 384), (700, 384, 128), (128, 700, 384), (350, 128, 4096), (16, 128, 384), (16, 128, 4096), (48, 32, 400)]
    {
        let a: Vec<f32> = (0..m * k).map(|i| (i % 13) as f32 * 0.1).collect();
        let b: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 * 0.1).collect();
        let reps = 1 + 2_000_000_000 / (2 * m * k * n);
        let t = Instant::now();
        let mut s = 0.0;
        for _ in 0..reps {
            let p = Packed::transposed(&b, n, k, k);
            s += multiply(&a, m, &p)[5];
        }
        let ours = t.elapsed().as_secs_f64() / reps as f64;
        let p = Packed::transposed(&b, n, k, k);
        let t = Instant::now();
        for _ in 0..reps {
            s += multiply(&a, m, &p)[5];
        }
        let pre = t.elapsed().as_secs_f64() / reps as f64;
        let (ta, tb) = (Tensor::from_vec(a, (m, k), &Device::Cpu).unwrap(), Tensor::from_vec(b, (n, k), &Device::Cpu).unwrap());
        let t = Instant::now();
        for _ in 0..reps {
            let _ = ta.matmul(&tb.t().unwrap()).unwrap();
        }
        let candle = t.elapsed().as_secs_f64() / reps as f64;
        let gf = 2e-9 * (m * k * n) as f64;
        println!("{m}x{k}x{n}: ours {:.1} GF/s (prepacked {:.1}), candle {:.1} GF/s  {s}", gf / ours, gf / pre, gf / candle);
    }
}
