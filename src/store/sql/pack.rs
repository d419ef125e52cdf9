//! Numbers of a row packed into few words.
//!
//! SQLite and MariaDB read each cell of a row from JSON by itself, which was a fifth of SQLite's time
//! in a sweep (docs/performance.md). Within one batch the numbers of a column lie close together, so
//! that what they differ by is short: a key's number, an instant and three codes often fit into the 63
//! bits of one whole number that is not negative. PostgreSQL has arrays, and no need of this.

use sea_orm::Value;

use super::batch::{NO_NUMBER, NO_NUMBER_SQL};
use crate::store::Engine;

/// Bits of a word that are used: its sign is not.
const BITS: u32 = 63;

/// Words for rows, as they fill with columns.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Each with one cell a row.
    words: Vec<Vec<i64>>,
    /// How many bits of each word are taken.
    taken: Vec<u32>,
}

/// Where a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// The number of its word.
    word: usize,
    shift: u32,
    /// A column that is too wide for that has a word for itself, and no mask.
    mask: Option<i64>,
    /// What is added to the bits that were shifted and masked.
    base: i64,
    /// Whether no bits stand for no number.
    has_none: bool,
}

impl Packed {
    /// The cell in a statement, where words are called `w0`, `w1` and so on; adds its values to
    /// `values`.
    pub(super) fn read(self, engine: Engine, values: &mut Vec<Value>) -> String {
        let Self { word, shift, mask, base, has_none } = self;
        let Some(mask) = mask else {
            let cell = format!("w{word}");
            return if has_none { format!("NULLIF({cell}, {NO_NUMBER_SQL})") } else { cell };
        };
        values.extend([Value::from(i64::from(shift)), mask.into(), base.into()]);
        let code = format!("(w{word} >> ?) & ?");
        let code = match engine {
            // What it shifts has no sign for it any more, and what it adds might be negative.
            Engine::MariaDb => format!("CAST({code} AS SIGNED)"),
            _ => format!("({code})"),
        };
        if has_none { format!("NULLIF({code}, 0) + ?") } else { format!("{code} + ?") }
    }
}

impl Words {
    /// Packs a column, in which [`NO_NUMBER`] is none if `has_none`: then nothing but that becomes 0.
    pub(super) fn pack(&mut self, cells: &[i64], has_none: bool) -> Packed {
        let is_some = |cell: &i64| !has_none || *cell != NO_NUMBER;
        let some = || cells.iter().copied().filter(is_some);
        let (least, most) = (some().min().unwrap_or_default(), some().max().unwrap_or_default());
        let base = least.checked_sub(has_none.into());
        let span = base.and_then(|base| most.checked_sub(base));
        let (Some(base), Some(span)) = (base, span) else { return self.alone(cells, has_none) };
        let n_bits = i64::BITS - span.leading_zeros();
        let code = |cell: &i64| if is_some(cell) { cell - base } else { 0 };
        let word = self.word(n_bits, cells.len());
        let shift = self.taken[word];
        for (word, cell) in self.words[word].iter_mut().zip(cells) {
            *word |= code(cell) << shift;
        }
        self.taken[word] += n_bits;
        Packed { word, shift, mask: Some(i64::MAX >> (BITS - n_bits)), base, has_none }
    }

    /// A column whose span has no room in a word has one for itself.
    fn alone(&mut self, cells: &[i64], has_none: bool) -> Packed {
        self.words.push(cells.to_vec());
        self.taken.push(BITS);
        Packed { word: self.words.len() - 1, shift: 0, mask: None, base: 0, has_none }
    }

    /// A word with so many bits left.
    fn word(&mut self, n_bits: u32, n_rows: usize) -> usize {
        match self.taken.iter().position(|taken| taken + n_bits <= BITS) {
            Some(word) => word,
            None => {
                self.words.push(vec![0; n_rows]);
                self.taken.push(0);
                self.words.len() - 1
            }
        }
    }

    /// The words, each with one cell a row.
    pub(super) fn into_columns(self) -> Vec<Vec<i64>> {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite makes of it, in other words.
    fn unpacked(packed: Packed, words: &[Vec<i64>]) -> Vec<i64> {
        let cell = |word: &i64| match packed.mask {
            None => *word,
            Some(mask) => match (word >> packed.shift) & mask {
                0 if packed.has_none => NO_NUMBER,
                code => code + packed.base,
            },
        };
        words[packed.word].iter().map(cell).collect()
    }

    #[test]
    fn whatever_is_packed_comes_out_again() {
        let columns: [(&[i64], bool); 9] = [
            (&[7, 1_000_007, 12], false),
            (&[1, 2, NO_NUMBER], true),
            (&[1_780_000_000_000, NO_NUMBER, 1_782_600_000_000], true),
            (&[NO_NUMBER, NO_NUMBER, NO_NUMBER], true),
            (&[-2, 30, 0], false),
            (&[i64::MIN, i64::MAX, 0], false),
            (&[i64::MIN + 1, NO_NUMBER, i64::MIN + 1], true),
            (&[0, i64::MAX, 1], false),
            (&[-1, i64::MAX - 1, NO_NUMBER], true),
        ];
        let mut words = Words::default();
        let packed: Vec<_> = columns.iter().map(|(cells, none)| words.pack(cells, *none)).collect();
        let words = words.into_columns();
        let places: Vec<_> = packed.iter().map(|packed| packed.word).collect();
        assert_eq!(places, [0, 0, 0, 0, 0, 1, 0, 2, 3]);
        for (packed, (cells, _)) in packed.into_iter().zip(columns) {
            assert_eq!(unpacked(packed, &words), cells, "{packed:?}");
        }
        assert!([0, 2].iter().all(|n| words[*n].iter().all(|word| *word >= 0)), "{words:?}");
    }
}
