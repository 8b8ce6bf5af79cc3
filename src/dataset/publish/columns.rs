//! Parquet: the rows as columns, messages as a list of role and content in the standard three-level form.
//!
//! Owns the schema and its levels. No compression: its libraries are not worth a file this size.

use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::Example;
use crate::domain::{ChatMessage, Role};

/// Rows of one group: small enough to read one by one, large enough to compress elsewhere.
const GROUP: usize = 10_000;

const SCHEMA: &str = "
message dataset {
  REQUIRED BINARY id (STRING);
  REQUIRED BINARY article_id (STRING);
  REQUIRED BINARY profile_id (STRING);
  REQUIRED GROUP messages (LIST) {
    REPEATED GROUP list {
      REQUIRED GROUP element {
        REQUIRED BINARY role (STRING);
        REQUIRED BINARY content (STRING);
      }
    }
  }
  REQUIRED DOUBLE score;
  REQUIRED BINARY band (STRING);
  REQUIRED INT32 repeats;
  REQUIRED BINARY teacher (STRING);
  REQUIRED BINARY model (STRING);
}";

/// The bytes of a Parquet file.
pub(super) fn parquet(rows: &[&Example]) -> Result<Vec<u8>> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::builder().build()))?;
    for group in rows.chunks(GROUP) {
        let mut columns = writer.next_row_group()?;
        let texts: [fn(&Example) -> &str; 3] = [|e| &e.id, |e| e.pair.article.as_str(), |e| e.pair.profile.as_str()];
        for text in texts {
            strings(&mut columns, group.iter().map(|e| text(e)))?;
        }
        messages(&mut columns, group, |m| role(m.role))?;
        messages(&mut columns, group, |m| &m.content)?;
        numbers(&mut columns, group)?;
        strings(&mut columns, group.iter().map(|e| e.band.as_str()))?;
        repeats(&mut columns, group)?;
        strings(&mut columns, group.iter().map(|e| e.provenance.teacher.as_str()))?;
        strings(&mut columns, group.iter().map(|e| e.provenance.model.as_str()))?;
        columns.close()?;
    }
    // Writes the footer, too.
    writer.into_inner()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn missing(kind: Physical) -> ParquetError {
    ParquetError::General(format!("the schema has no further column of type {kind}"))
}

fn strings<'a>(columns: &mut Group<'_>, values: impl Iterator<Item = &'a str>) -> Result<()> {
    let values: Vec<ByteArray> = values.map(ByteArray::from).collect();
    let mut column = columns.next_column()?.ok_or_else(|| missing(Physical::BYTE_ARRAY))?;
    column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
    column.close()
}

/// One part of every message. Definition level 1: an element of the list; repetition level 1: not its first.
fn messages(columns: &mut Group<'_>, rows: &[&Example], part: fn(&ChatMessage) -> &str) -> Result<()> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if row.messages.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (i, message) in row.messages.iter().enumerate() {
            values.push(ByteArray::from(part(message)));
            defined.push(1);
            repeated.push(i16::from(i > 0));
        }
    }
    let mut column = columns.next_column()?.ok_or_else(|| missing(Physical::BYTE_ARRAY))?;
    column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), Some(&repeated))?;
    column.close()
}

fn numbers(columns: &mut Group<'_>, rows: &[&Example]) -> Result<()> {
    let values: Vec<f64> = rows.iter().map(|e| e.score).collect();
    let mut column = columns.next_column()?.ok_or_else(|| missing(Physical::DOUBLE))?;
    column.typed::<DoubleType>().write_batch(&values, None, None)?;
    column.close()
}

fn repeats(columns: &mut Group<'_>, rows: &[&Example]) -> Result<()> {
    let values: Vec<i32> = rows.iter().map(|e| i32::try_from(e.repeats).unwrap_or(i32::MAX)).collect();
    let mut column = columns.next_column()?.ok_or_else(|| missing(Physical::INT32))?;
    column.typed::<Int32Type>().write_batch(&values, None, None)?;
    column.close()
}
