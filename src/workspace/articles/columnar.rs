//! Parquet files of articles: a column for each field, as pandas, Polars, `DuckDB` and `datasets` write them.
//!
//! Only the columns that are fields of an article are read, one row group at a time; embeddings beside them cost nothing.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::{Compression, LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::record::{self, Content};
use crate::domain::{Article, one_line};
use crate::workspace::{WorkspaceError, shelter};

/// What every Parquet file begins with.
pub const MAGIC: &[u8] = b"PAR1";

/// The rows of a Parquet file.
pub struct Columnar {
    /// `None` after an error of the library: it would say the same again without end.
    rows: Option<RowIter<'static>>,
    /// Which of the read columns each field stands in.
    columns: Vec<(&'static str, usize)>,
    /// Which of the read columns hold times in nanoseconds, as pandas writes them; the library gives them as bare numbers.
    nanoseconds: Vec<bool>,
    number: usize,
    total: u64,
}

/// A row: its number, the article, and whether its source type was stated; or the number and what is wrong with it.
type NumberedRow = Result<(usize, Article, bool), (usize, String)>;

impl Columnar {
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
        let refused = |why: String| WorkspaceError::File { file: path.to_owned(), why: format!("{why}. Nothing was stored") };
        let reader = sheltered(|| SerializedFileReader::new(file)).map_err(refused)?;
        let meta = reader.metadata().file_metadata();
        let total = u64::try_from(meta.num_rows()).unwrap_or_default();
        let wanted = projection(meta.schema()).map_err(refused)?;
        compression(reader.metadata(), &wanted).map_err(refused)?;
        let columns = record::columns(wanted.get_fields().iter().map(|f| f.name()));
        let nanoseconds = wanted.get_fields().iter().map(|f| counts_nanoseconds(f)).collect();
        let rows = sheltered(|| RowIter::from_file_into(Box::new(reader)).project(Some(wanted))).map_err(refused)?;
        Ok(Self { rows: Some(rows), columns, nanoseconds, number: 0, total })
    }

    /// The share of the rows that was read.
    pub fn share(&self) -> f64 {
        self.number as f64 / self.total.max(1) as f64
    }

    /// The next article with its number, or what is wrong with it.
    pub fn next(&mut self) -> Option<NumberedRow> {
        let rows = self.rows.as_mut()?;
        let row = sheltered(|| rows.next().transpose()).transpose()?;
        self.number += 1;
        if row.is_err() {
            self.rows = None;
        }
        let article = row.and_then(|row| self.article(&row));
        Some(article.map(|(article, typed)| (self.number, article, typed)).map_err(|why| (self.number, why)))
    }

    fn article(&self, row: &Row) -> Result<(Article, bool), String> {
        let values: Vec<&Field> = row.get_column_iter().map(|(_, value)| value).collect();
        let cell = |(field, column): &(&'static str, usize)| {
            let value = match (values.get(*column).copied()?, self.nanoseconds.get(*column)) {
                (Field::Long(at), Some(true)) => {
                    moment(Timestamp::from_nanosecond((*at).into())).map(|at| Some(Content::Text(at)))
                }
                (value, _) => cell(value),
            };
            value.map_err(|why| format!("its {field} {why}")).transpose().map(|cell| Ok::<_, String>((*field, cell?)))
        };
        let cells: Vec<(&'static str, Content)> = self.columns.iter().filter_map(cell).collect::<Result<_, _>>()?;
        record::article(cells)
    }
}

/// The columns of the schema that are fields of an article; an article without a title is none.
fn projection(schema: &Type) -> Result<Type, String> {
    let fields = schema.get_fields();
    let names: Vec<&str> = fields.iter().map(|f| f.name()).collect();
    let found = record::columns(names.iter().copied());
    if found.iter().all(|(field, _)| *field != "title") {
        let names = one_line(&names.join(", "), 200);
        return Err(format!("it has no column 'title' or 'headline', it has {names}; rename one"));
    }
    // In the order of the file: rows come back that way.
    let kept = fields.iter().enumerate().filter(|(at, _)| found.iter().any(|(_, column)| column == at));
    let kept: Vec<Arc<Type>> = kept.map(|(_, field)| field.clone()).collect();
    Type::group_type_builder(schema.name()).with_fields(kept).build().map_err(|e| explained(&e))
}

/// Snappy and Zstandard are what everybody writes; more would be code for files that nobody has.
fn compression(meta: &ParquetMetaData, wanted: &Type) -> Result<(), String> {
    let read = |column: &str| wanted.get_fields().iter().any(|f| f.name() == column);
    let columns = meta.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let named = columns.map(|c| (c.column_path().parts().first().map_or("", String::as_str), c.compression()));
    let known = |how| matches!(how, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_));
    match named.into_iter().find(|(column, how)| read(column) && !known(*how)) {
        None => Ok(()),
        Some((column, how)) => {
            let column = one_line(column, 60);
            Err(format!("its column {column} is compressed by {how}; write it again with compression=\"snappy\" or \"zstd\""))
        }
    }
}

fn counts_nanoseconds(column: &Type) -> bool {
    let kind = column.get_basic_info().logical_type_ref();
    matches!(kind, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS)
}

/// What a value says; `None`: nothing.
fn cell(value: &Field) -> Result<Option<Content>, String> {
    Ok(match value {
        Field::Null => None,
        Field::Group(_) | Field::MapInternal(_) => return Err("is a record of its own; a text or a list of texts is read".into()),
        Field::ListInternal(list) => {
            let items: Result<Vec<Option<String>>, String> = list.elements().iter().map(text).collect();
            Some(Content::List(items?.into_iter().flatten().collect()))
        }
        value => text(value)?.map(Content::Text),
    })
}

/// A single value as text.
fn text(value: &Field) -> Result<Option<String>, String> {
    match value {
        Field::Null => Ok(None),
        Field::Str(text) => Ok(Some(text.clone())),
        // Writers that do not say that their texts are texts.
        Field::Bytes(bytes) => match bytes.as_utf8() {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("is not UTF-8".into()),
        },
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Float(_)
        | Field::Double(_) => Ok(Some(value.to_string())),
        Field::Date(days) => moment(Timestamp::from_second(i64::from(*days) * 86_400)).map(|at| at.get(..10).map(str::to_owned)),
        Field::TimestampMillis(at) => moment(Timestamp::from_millisecond(*at)).map(Some),
        Field::TimestampMicros(at) => moment(Timestamp::from_microsecond(*at)).map(Some),
        _ => Err("is neither a text nor a number nor a time".into()),
    }
}

/// A time as ISO 8601.
fn moment(at: Result<Timestamp, jiff::Error>) -> Result<String, String> {
    at.map(|at| at.to_string()).map_err(|_| "is a time beyond the calendar".into())
}

/// The library panics at some files that were changed after they were written.
fn sheltered<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match shelter::sheltered(read) {
        Some(read) => read.map_err(|e| explained(&e)),
        None => Err("the Parquet file is damaged: its columns are not what it says of them; write it again".into()),
    }
}

/// What the library says, on one line and with what to do.
fn explained(error: &ParquetError) -> String {
    format!("the Parquet file cannot be read: {}", one_line(&error.to_string(), 300))
}
