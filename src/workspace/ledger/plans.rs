//! Plans and their approvals: what may be bought, and up to which ceiling.

use rusqlite::{OptionalExtension, params};

use super::requests::{NewRequest, insert_requests};
use super::{Ledger, Sql};
use crate::domain::{Digest, Form, UnixMillis, Usd};
use crate::workspace::WorkspaceError;

/// What an approval is for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    pub digest: Digest,
    /// The distill phase's input that the plan was made for.
    pub input: Digest,
    /// "pilot", "traces", "articles"
    pub kind: String,
    pub provider: String,
    pub model: String,
    /// Plans of one family ask the same way, so their answers measure each other.
    pub family: Digest,
    pub form: Form,
    /// Which pairs were asked for, as JSON.
    pub scope: String,
    /// The price row that the plan was counted with, as JSON.
    pub price: String,
    pub created: UnixMillis,
    /// The estimate, as JSON.
    pub estimate: String,
    /// Why nothing more is sent under it.
    pub void: Option<String>,
}

const COLUMNS: &str = "digest, input, kind, provider, model, family, form, scope, price, created, estimate, void";

fn plan_of(r: &rusqlite::Row<'_>) -> Sql<PlanRow> {
    Ok(PlanRow {
        digest: Digest::from_hex(r.get::<_, String>(0)?),
        input: Digest::from_hex(r.get::<_, String>(1)?),
        kind: r.get(2)?,
        provider: r.get(3)?,
        model: r.get(4)?,
        family: Digest::from_hex(r.get::<_, String>(5)?),
        form: if r.get::<_, String>(6)? == Form::Fields.id() { Form::Fields } else { Form::Text },
        scope: r.get(7)?,
        price: r.get(8)?,
        created: UnixMillis(r.get(9)?),
        estimate: r.get(10)?,
        void: r.get(11)?,
    })
}

impl Ledger {
    /// Records a plan and its requests. A plan that is known already stays as it is.
    pub fn put_plan(&mut self, plan: &PlanRow, requests: &[NewRequest]) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = format!(
                "INSERT INTO plan ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
                 ON CONFLICT (digest) DO UPDATE SET created = excluded.created, estimate = excluded.estimate"
            );
            let values = params![
                plan.digest.as_str(),
                plan.input.as_str(),
                plan.kind,
                plan.provider,
                plan.model,
                plan.family.as_str(),
                plan.form.id(),
                plan.scope,
                plan.price,
                plan.created.0,
                plan.estimate,
                plan.void
            ];
            db.execute(&sql, values)?;
            insert_requests(db, &plan.digest, requests)?;
            // One plan at a time may send: what an earlier one of this input was approved for and did not send is over.
            let replaced = "UPDATE plan SET void = ?3 WHERE input = ?1 AND digest != ?2 AND void IS NULL \
                            AND EXISTS (SELECT 1 FROM request q WHERE q.plan = plan.digest AND q.state = 'planned')";
            let why = format!("replaced by plan {}", plan.digest.short());
            db.execute(replaced, params![plan.input.as_str(), plan.digest.as_str(), why]).map(|_| ())
        })
    }

    pub fn plan(&self, digest: &Digest) -> Result<Option<PlanRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM plan WHERE digest = ?1");
        self.run(|db| db.query_row(&sql, [digest.as_str()], plan_of).optional())
    }

    /// The newest plan made for an input that is not void.
    pub fn plan_for(&self, input: &Digest) -> Result<Option<PlanRow>, WorkspaceError> {
        let sql =
            format!("SELECT {COLUMNS} FROM plan WHERE input = ?1 AND void IS NULL ORDER BY created DESC, rowid DESC LIMIT 1");
        self.run(|db| db.query_row(&sql, [input.as_str()], plan_of).optional())
    }

    /// Every plan, oldest first.
    pub fn plans(&self) -> Result<Vec<PlanRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM plan ORDER BY created, rowid");
        self.run(|db| db.prepare(&sql)?.query_map([], plan_of)?.collect())
    }

    /// Ends a plan: nothing more is sent under it, whatever was approved.
    pub fn void_plan(&mut self, digest: &Digest, why: &str) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            db.execute("UPDATE plan SET void = ?2 WHERE digest = ?1 AND void IS NULL", params![digest.as_str(), why]).map(|_| ())
        })
    }

    /// How many plans were voided, ever.
    pub fn void_plans(&self) -> Result<u64, WorkspaceError> {
        let sql = "SELECT count(*) FROM plan WHERE void IS NOT NULL";
        self.run(|db| db.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or(0)))
    }

    /// Whether anything was ever sent to a provider.
    pub fn has_used(&self, provider: &str) -> Result<bool, WorkspaceError> {
        let sql = "SELECT 1 FROM submission s JOIN plan p ON p.digest = s.plan WHERE p.provider = ?1 AND s.state != 'not submitted' LIMIT 1";
        self.run(|db| db.query_row(sql, [provider], |_| Ok(())).optional().map(|row| row.is_some()))
    }

    pub fn put_approval(&mut self, plan: &Digest, ceiling: Usd, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT INTO approval (plan, ceiling, at) VALUES (?1, ?2, ?3)";
        let ceiling = ceiling.amount().to_string();
        self.transaction(|db| db.execute(sql, params![plan.as_str(), ceiling, at.0]).map(|_| ()))
    }

    /// The ceiling last approved for a plan that is not void.
    pub fn approved_ceiling(&self, plan: &Digest) -> Result<Option<Usd>, WorkspaceError> {
        let sql = "SELECT a.ceiling FROM approval a JOIN plan p ON p.digest = a.plan \
                   WHERE a.plan = ?1 AND p.void IS NULL ORDER BY a.id DESC LIMIT 1";
        let text: Option<String> = self.run(|db| db.query_row(sql, [plan.as_str()], |r| r.get(0)).optional())?;
        Ok(text.and_then(|t| t.parse().ok()))
    }
}
