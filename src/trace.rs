//! Which lines of the log belong together, here and in other programs: the trace, as the W3C's Trace
//! Context has it.

use std::fmt;

/// A trace: one cause and all that follows from it. In the log it is `trace_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// A trace that begins here.
    pub fn new() -> Self {
        // Zero says that there is none.
        Self(rand::random::<u128>().max(1))
    }
}

/// What a request says of the trace that it is part of: the header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// Which span of another program asks.
    pub span: u64,
    /// Whether that program records the trace.
    pub is_sampled: bool,
}

impl Parent {
    /// Reads a header; `None` if it is none, and then the sender's mistake must not be passed on.
    ///
    /// Later versions are read as far as this one goes, as the recommendation wants it.
    pub fn read(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let is_sampled = hex(parts.next()?, 2)? & 1 == 1;
        let is_whole = parts.next().is_none() || version > 0;
        let is_one = version != 0xff && trace != 0 && span != 0;
        (is_whole && is_one).then_some(Self { trace: TraceId(trace), span, is_sampled })
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// So many lower-case hexadecimal digits.
fn hex(text: &str, n_digits: usize) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || text.len() != n_digits {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_parent_names_its_trace() {
        for (header, is_sampled) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", true),
        ] {
            let parent = Parent::read(header).unwrap();
            assert_eq!(parent.trace.to_string(), TRACE, "{header}");
            assert_eq!((parent.span, parent.is_sampled), (0x00f0_67aa_0ba9_02b7, is_sampled));
        }
    }

    #[test]
    fn what_is_no_parent_names_none() {
        for header in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(Parent::read(header), None, "{header}");
        }
    }

    #[test]
    fn every_trace_is_another_one() {
        assert_ne!(TraceId::new(), TraceId::new());
        assert_eq!(TraceId::new().to_string().len(), 32);
    }
}
