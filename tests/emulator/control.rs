//! The emulator's own controls over HTTP, under `/_emulator/`: for Python, for people, for a console in another process.

use serde_json::{Value, json};

use super::faults::{Fault, Op};
use super::wire::{Call, Reply};
use super::{AnswerMix, Finish, Shared};

/// `POST fault` takes a fault, or `{"fault": …, "on": "create"}`; `POST advance` `{"seconds": n}`; `POST options` any of
/// `{"finish": …, "answers": …, "key": …}`; `POST clear_faults`; `GET billed`, `batches`, `seen`.
pub fn answer(call: &Call, shared: &Shared) -> Reply {
    let (method, segments) = call.route();
    let outcome = match (method, segments.get(1..).unwrap_or_default()) {
        ("GET", ["billed"]) => return listed(&shared.world().bills()),
        ("GET", ["batches"]) => return listed(&shared.world().infos()),
        ("GET", ["seen"]) => return listed(&shared.script().seen),
        ("POST", ["fault"]) => call.json().and_then(|body| fault(&body, shared)),
        ("POST", ["clear_faults"]) => {
            shared.script().clear();
            Ok(())
        }
        ("POST", ["advance"]) => call.json().and_then(|body| {
            let seconds = body.get("seconds").and_then(Value::as_i64).ok_or("advance wants {\"seconds\": n}")?;
            shared.world().advance(seconds);
            Ok(())
        }),
        ("POST", ["options"]) => call.json().and_then(|body| options(&body, shared)),
        _ => return Reply::json(404, &json!({"error": "no such control"})),
    };
    match outcome {
        Ok(()) => Reply::ok(&json!({"ok": true})),
        Err(why) => Reply::json(400, &json!({"error": why})),
    }
}

fn listed<T: serde::Serialize>(items: &[T]) -> Reply {
    Reply::ok(&json!({ "data": items }))
}

fn fault(body: &Value, shared: &Shared) -> Result<(), String> {
    let wrapped = body.get("fault");
    let fault: Fault = serde_json::from_value(wrapped.unwrap_or(body).clone()).map_err(|e| e.to_string())?;
    let on: Option<Op> = match wrapped.and(body.get("on")) {
        Some(on) => serde_json::from_value(on.clone()).map_err(|e| e.to_string())?,
        None => None,
    };
    shared.script().arm(fault, on);
    Ok(())
}

/// Changes habits for batches made, looks made and keys shown from now on.
fn options(body: &Value, shared: &Shared) -> Result<(), String> {
    let mut world = shared.world();
    if let Some(finish) = body.get("finish") {
        world.options.finish = serde_json::from_value::<Finish>(finish.clone()).map_err(|e| e.to_string())?;
    }
    if let Some(mix) = body.get("answers") {
        world.options.answers = serde_json::from_value::<AnswerMix>(mix.clone()).map_err(|e| e.to_string())?;
    }
    if let Some(key) = body.get("key") {
        world.options.key = key.as_str().map(str::to_owned);
    }
    Ok(())
}
