use candle_core::{Device, Tensor, Var};
use std::sync::Arc;
use std::time::Instant;
use stratos::student::ops::*;
use stratos::student::*;
fn time(name: &str, flops: f64, mut f: impl FnMut()) {
    f();
    let t = Instant::now();
    let mut n = 0;
    while t.elapsed().as_secs_f64() < 0.5 {
        f();
        n += 1;
    }
    let s = t.elapsed().as_secs_f64() / n as f64;
    println!("{name}: {:.3} ms {:.1} GF/s", s * 1e3, flops / s * 1e-9);
}
fn v(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let x: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * 0.1).collect();
    Var::from_tensor(&Tensor::from_vec(x, shape, &Device::Cpu).unwrap()).unwrap().into_inner()
}
fn fb(name: &str, flops: f64, f: impl Fn() -> Tensor) {
    time(&format!("{name} fwd"), flops, || {
        f();
    });
    let y = f();
    let mix = Tensor::ones_like(&y).unwrap();
    time(&format!("{name} fwd+sum+bwd"), 3.0 * flops, || {
        let l = (f() * &mix).unwrap().sum_all().unwrap();
        l.backward().unwrap();
    });
}
fn main() {
    let t = 1168;
    let d = 128;
    let (x, w, wd, g) = (v(&[t, d]), v(&[384, d]), v(&[d, 384]), v(&[d]));
    let h = v(&[t, 384]);
    let h2 = v(&[t, 384]);
    let at = Arc::new(LossRows { rows: (0..348).map(|i| i * 3).collect(), targets: (0..348).collect(), weights: vec![1.0; 348] });
    if std::env::args().nth(1).is_none() {
        fb("linear 128-384", 2.0 * (t * d * 384) as f64, || linear(&x, &w, None).unwrap());
        fb("linear 384-128", 2.0 * (t * d * 384) as f64, || linear(&h, &wd, None).unwrap());
        fb("rms", 0.0, || rms_norm(&x, &g, 1e-6).unwrap());
        fb("silu", 0.0, || silu_gate(&h, &h2).unwrap());
        fb("add", 0.0, || (&x + &x).unwrap());
        let table = Arc::new(RopeTable::new(32, 1024, 1e4));
        let pos: Arc<[u32]> = (0..t as u32).map(|i| i % 292).collect();
        fb("rope", 0.0, || rope(&x, &table, &pos).unwrap());
        let (k, vv) = (v(&[t, 64]), v(&[t, 64]));
        let heads = Heads { query: 4, key: 2, width: 32 };
        let texts: Arc<[std::ops::Range<usize>]> = [0..292, 292..584, 584..876, 876..1168].into();
        fb("attention", 4.0 * 4.0 * (292.0 * 292.0 / 2.0) * 32.0 * 4.0, || causal_attention(&x, &k, &vv, heads, &texts).unwrap());
        let e = v(&[4096, d]);
        time("loss", 3.0 * 2.0 * 348.0 * 4096.0 * 128.0, || {
            linear_cross_entropy(&x, &e, at.clone(), true).unwrap().backward().unwrap();
        });
        let ids = Tensor::from_vec((0..t as u32).collect::<Vec<_>>(), t, &Device::Cpu).unwrap();
        fb("embed", 0.0, || e.index_select(&ids, 0).unwrap());
    }
    let codec_vocab = 4096;
    let config = StudentConfig::from_json(&format!(
        r#"{{"architectures": [], "model_type": "qwen3", "vocab_size": {codec_vocab}, "hidden_size": 128,
            "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
            "hidden_act": "silu", "bos_token_id": null, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32"}}"#
    ))
    .unwrap();
    let vars: weights::Weights =
        weights::fresh(&config, 1).unwrap().into_iter().map(|(n, t)| (n, Var::from_tensor(&t).unwrap().into_inner())).collect();
    let dec = Decoder::new(&config, &vars).unwrap();
    let text: Vec<u32> = (0..292).collect();
    let batch = PackedTexts::new((0..4).map(|_| (&text[..], 0)));
    time("hidden", 2.0 * 0.787e6 * t as f64, || {
        dec.hidden(&batch).unwrap();
    });
    time("whole", 3.0 * 2.0 * (0.787e6 * t as f64 + 348.0 * 4096.0 * 128.0), || {
        for _ in 0..std::env::args().nth(1).map_or(1, |a| a.parse().unwrap()) {
            let hd = dec.hidden(&batch).unwrap();
            dec.loss(&hd, (*at).clone(), true).unwrap().backward().unwrap();
        }
    });
}
