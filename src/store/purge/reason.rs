//! Why a key ended.

/// Why a key is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its window closed, and nobody brought it back.
    WindowClosed,
    /// Somebody revoked it.
    Revoked,
    /// Its owner's access ended.
    AccessEnded,
}

impl EndReason {
    /// The word people and programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WindowClosed => "window_closed",
            Self::Revoked => "revoked",
            Self::AccessEnded => "access_ended",
        }
    }

    /// The stored code: of a tombstone, and, but for the window, of a key that is over.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::WindowClosed => 1,
            Self::Revoked => 2,
            Self::AccessEnded => 3,
        }
    }
}
