//! The rows that could not be taken over, in a file that can be mended and imported.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::cli::{
    context::shown,
    keys::import::{
        is_stdin,
        row::{Original, Raw},
    },
};

/// A file that is made with the first row in it.
pub(super) struct Rejects {
    path: PathBuf,
    /// The columns of the original; `None` for JSON lines.
    header: Option<csv::ByteRecord>,
    file: Option<BufWriter<File>>,
    n: u64,
}

impl Rejects {
    /// The file that belongs to `original`: `keys.rejects.csv` beside `keys.csv`.
    pub(super) fn new(original: &Path, header: Option<csv::ByteRecord>) -> Self {
        let kind = if header.is_some() { "csv" } else { "jsonl" };
        let path = if is_stdin(original) {
            PathBuf::from(format!("import.rejects.{kind}"))
        } else {
            original.with_extension(format!("rejects.{kind}"))
        };
        Self { path, header, file: None, n: 0 }
    }

    /// Adds a row. Returns how many there are.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, raw: &Raw, reason: &str) -> anyhow::Result<u64> {
        if self.file.is_none() {
            let file = File::create(&self.path);
            let file = file.with_context(|| format!("make {}", shown(&self.path)))?;
            self.file = Some(BufWriter::new(file));
            if let Some(header) = self.header.clone() {
                self.write_csv(b"line", b"reason", &header)?;
            }
        }
        match &raw.original {
            Original::Csv(record) => {
                self.write_csv(raw.line.to_string().as_bytes(), reason.as_bytes(), record)?;
            }
            Original::Json(text) => self.write_json(raw.line, reason, text)?,
        }
        self.n += 1;
        Ok(self.n)
    }

    /// Writes what is left. Returns how many rows there are, and where.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(mut self) -> anyhow::Result<(u64, Option<PathBuf>)> {
        if let Some(file) = &mut self.file {
            file.flush().context("write the file of rejects")?;
        }
        Ok((self.n, self.file.map(|_| self.path)))
    }

    fn write_csv(
        &mut self,
        line: &[u8],
        reason: &[u8],
        cells: &csv::ByteRecord,
    ) -> anyhow::Result<()> {
        let mut text = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        // A file of rejects that is imported again has these two columns already.
        let ours = |index: usize| {
            let name = self.header.as_ref().and_then(|header| header.get(index));
            matches!(name, Some(b"line" | b"reason"))
        };
        let others = cells.iter().enumerate().filter(|(index, _)| !ours(*index));
        text.write_record([line, reason].into_iter().chain(others.map(|(_, cell)| cell)))?;
        self.write(&text.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?)
    }

    fn write_json(&mut self, line: u64, reason: &str, text: &str) -> anyhow::Result<()> {
        let mut object: Map<String, Value> = serde_json::from_str(text).unwrap_or_else(|_| {
            // What is no JSON object is kept as it is.
            Map::from_iter([("text".to_owned(), Value::from(text))])
        });
        object.insert("line".to_owned(), line.into());
        object.insert("reason".to_owned(), reason.into());
        let mut text = serde_json::to_vec(&object)?;
        text.push(b'\n');
        self.write(&text)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => Ok(file.write_all(bytes)?),
            None => Ok(()),
        }
    }
}
