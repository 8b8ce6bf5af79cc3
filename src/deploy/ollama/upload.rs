//! Bringing a file to the server: asked for first, sent in pieces, its digest proved there.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use reqwest::{Body, Method};
use tokio::sync::mpsc;

use super::error::OllamaError;
use super::wire::Wire;
use super::{Listener, Told};
use crate::deploy::Blob;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Pieces that wait for the network.
const AHEAD: usize = 4;
const WHAT: &str = "/api/blobs";

/// Sends a blob unless the server has it.
pub(super) async fn send(wire: &Wire, blob: &Blob, told: Listener<'_>) -> Result<(), OllamaError> {
    let path = format!("/api/blobs/{}", blob.name());
    if wire.has(&path).await? {
        return go_on(told(Told::Known { bytes: blob.size }));
    }
    go_on(told(Told::Uploading { done: 0, total: blob.size }))?;
    let failed = |source| OllamaError::File { path: blob.path.clone(), source };
    let mut file = File::open(&blob.path).map_err(failed)?;
    let (pieces, taken) = mpsc::channel::<std::io::Result<Vec<u8>>>(AHEAD);
    let body = futures_util::stream::unfold(taken, |mut taken| async move { Some((taken.recv().await?, taken)) });
    // A known length: a proxy that cuts the body is then noticed.
    let request = wire.request(Method::POST, &path)?.header("content-length", blob.size).body(Body::wrap_stream(body));
    let sending = wire.long(request, WHAT);
    tokio::pin!(sending);
    let mut done = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).map_err(failed)?;
        piece.truncate(read);
        if read == 0 {
            break;
        }
        let step = async {
            tokio::select! {
                // An early refusal ends the upload.
                answered = &mut sending => Some(answered),
                _ = pieces.send(Ok(piece)) => None,
            }
        };
        if let Some(answered) = wire.within(WHAT, step).await? {
            return answered;
        }
        done += read as u64;
        go_on(told(Told::Uploading { done, total: blob.size }))?;
    }
    drop(pieces);
    wire.within(WHAT, sending).await?
}

pub(super) fn go_on(flow: ControlFlow<()>) -> Result<(), OllamaError> {
    if flow.is_break() { Err(OllamaError::Stopped) } else { Ok(()) }
}
