//! Files of rows, read one at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::{
    Failure,
    context::shown,
    keys::import::{
        columns::{self, N_COLUMNS},
        is_stdin,
        row::{Original, Raw},
    },
};

/// A row that is longer than this is taken for damage, such as a quote that is never closed.
const MAX_ROW: usize = 64 * 1024;

/// Why a row is too long.
const TOO_LONG: &str = "the row is longer than 64 KiB; is a quote missing?";

/// The rows of a file, whichever its form.
pub(super) struct Reader {
    rows: Rows,
    n_bytes: Option<u64>,
}

enum Rows {
    Csv(Box<CsvRows>),
    Json(JsonRows),
}

struct CsvRows {
    reader: csv::Reader<Box<dyn BufRead>>,
    header: csv::ByteRecord,
    /// Where each cell goes.
    places: Vec<Option<usize>>,
}

struct JsonRows {
    reader: Box<dyn BufRead>,
    line: u64,
    position: u64,
}

impl Reader {
    /// Opens `file`. A file that begins with `{` has JSON lines, any other is CSV.
    ///
    /// # Errors
    /// If it cannot be read, or its header is no good.
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let (mut reader, n_bytes): (Box<dyn BufRead>, _) = if is_stdin(file) {
            (Box::new(BufReader::new(io::stdin())), None)
        } else {
            let opened = File::open(file).with_context(|| format!("open {}", shown(file)))?;
            let n_bytes = opened.metadata().ok().filter(|meta| meta.is_file());
            (Box::new(BufReader::with_capacity(1 << 16, opened)), n_bytes.map(|meta| meta.len()))
        };
        let head = reader.fill_buf().context("read the file")?;
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        let rows = match first {
            None => return Err(Failure::new("the file is empty").into()),
            Some(b'{') => Rows::Json(JsonRows { reader, line: 0, position: 0 }),
            Some(_) => Rows::Csv(Box::new(CsvRows::open(reader)?)),
        };
        Ok(Self { rows, n_bytes })
    }

    /// How long the file is, if it is one.
    pub(super) fn n_bytes(&self) -> Option<u64> {
        self.n_bytes
    }

    /// How far it has been read.
    pub(super) fn position(&self) -> u64 {
        match &self.rows {
            Rows::Csv(rows) => rows.reader.position().byte(),
            Rows::Json(rows) => rows.position,
        }
    }

    /// The header as it stands there, for the file of rejects; `None` for JSON lines.
    pub(super) fn original_header(&self) -> Option<csv::ByteRecord> {
        match &self.rows {
            Rows::Csv(rows) => Some(rows.header.clone()),
            Rows::Json(_) => None,
        }
    }

    /// The next row, `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on. A row that makes no sense is no error.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Raw>> {
        match &mut self.rows {
            Rows::Csv(rows) => rows.next(),
            Rows::Json(rows) => rows.next(),
        }
    }
}

impl CsvRows {
    fn open(reader: Box<dyn BufRead>) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
        let header = reader.byte_headers().context("read the header")?.clone();
        let places = header.iter().map(|name| columns::place(&String::from_utf8_lossy(name)));
        let places: Result<Vec<_>, String> = places.collect();
        let places = places.and_then(|places| columns::check(&places).map(|()| places));
        let places = places.map_err(|error| {
            Failure::new(format!("the header is no good: {error}"))
                .hint("`lapsed keys import --help` lists the columns")
        })?;
        Ok(Self { reader, header, places })
    }

    fn next(&mut self) -> anyhow::Result<Option<Raw>> {
        let mut record = csv::ByteRecord::new();
        if !self.reader.read_byte_record(&mut record)? {
            return Ok(None);
        }
        let line = record.position().map_or(0, csv::Position::line);
        let cells = self.cells(&record);
        if record.as_slice().len() > MAX_ROW {
            record.truncate(0);
        }
        Ok(Some(Raw { line, cells, original: Original::Csv(record) }))
    }

    fn cells(&self, record: &csv::ByteRecord) -> Result<[String; N_COLUMNS], String> {
        if record.as_slice().len() > MAX_ROW {
            return Err(TOO_LONG.to_owned());
        }
        if record.len() != self.places.len() {
            let (n, wanted) = (record.len(), self.places.len());
            return Err(format!("the row has {n} cells, but the header {wanted}"));
        }
        let mut cells: [String; N_COLUMNS] = Default::default();
        for (cell, place) in record.iter().zip(&self.places) {
            let Some(place) = place else { continue };
            cells[*place] =
                std::str::from_utf8(cell).map_err(|_| "the row is not UTF-8")?.to_owned();
        }
        Ok(cells)
    }
}

impl JsonRows {
    fn next(&mut self) -> anyhow::Result<Option<Raw>> {
        loop {
            let mut bytes = Vec::new();
            let mut reader = (&mut self.reader).take(MAX_ROW as u64 + 1);
            let n = reader.read_until(b'\n', &mut bytes)?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.position += n as u64;
            let line = self.line;
            if n > MAX_ROW && !bytes.ends_with(b"\n") {
                self.skip_line()?;
                let original = Original::Json(String::new());
                return Ok(Some(Raw { line, cells: Err(TOO_LONG.to_owned()), original }));
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            let original = Original::Json(text.to_owned());
            return Ok(Some(Raw { line, cells: cells_of_json(text), original }));
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let n = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(n);
            self.position += n as u64;
            if n == 0 || end.is_some() {
                return Ok(());
            }
        }
    }
}

fn cells_of_json(text: &str) -> Result<[String; N_COLUMNS], String> {
    let object: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("this is no JSON object: {error}"))?;
    let mut cells: [String; N_COLUMNS] = Default::default();
    for (name, value) in object {
        let Some(place) = columns::place(&name)? else { continue };
        cells[place] = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            // Other systems number their keys.
            Value::Number(number) => number.to_string(),
            _ => return Err(format!("{name} is neither a text nor a number")),
        };
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::keys::import::row;

    /// Reads a file to its end.
    fn rows_of(file: &[u8]) -> anyhow::Result<Vec<Raw>> {
        let is_json = file.starts_with(b"{");
        let reader = Box::new(io::Cursor::new(file.to_vec()));
        let rows = match is_json {
            true => Rows::Json(JsonRows { reader, line: 0, position: 0 }),
            false => Rows::Csv(Box::new(CsvRows::open(reader)?)),
        };
        let mut reader = Reader { rows, n_bytes: None };
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    /// The pieces that files are made of, and some that they should not be made of.
    fn any_file() -> impl Strategy<Value = Vec<u8>> {
        let usual = prop::sample::select(vec![
            ",",
            "\n",
            "\r\n",
            "\"",
            "{",
            "}",
            ":",
            "acme",
            "ada@acme.example",
            "never",
            "null",
            "2027-01-01",
            "\\u0000",
            "\"tenant\":\"acme\"",
            "\0",
            "\u{feff}",
            "é",
        ]);
        let piece = prop_oneof![
            4 => usual.prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        let head = prop::sample::select(vec![
            "tenant,environment,owner,name,expires\n",
            "tenant,environment,owner,name,expires,access_ends,kind,secret_sha256\n",
            "{",
            "",
        ]);
        (head, prop::collection::vec(piece, 0..60))
            .prop_map(|(head, pieces)| [head.as_bytes(), &pieces.concat()].concat())
    }

    proptest! {
        /// Whatever stands in a file: each of its rows is taken over or refused with a reason, and
        /// none of them stops the others.
        #[test]
        fn any_file_is_read_to_its_end(file in any_file()) {
            let n_lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            let Ok(rows) = rows_of(&file) else { return Ok(()) };
            prop_assert!(rows.len() <= n_lines, "{} rows in {} lines", rows.len(), n_lines);
            for raw in rows {
                match row::parse(&raw, DateTime::UNIX_EPOCH) {
                    Ok(row) => prop_assert!(row.owner.contains('@')),
                    Err(reason) => prop_assert!(!reason.is_empty()),
                }
            }
        }
    }
}
