//! Addresses and names: what may stand in an envelope or a header, and nothing else.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

/// Characters [`clean_name`] lets through; the rest is cut, and an ellipsis says so.
pub const MAX_NAME_CHARS: usize = 120;

/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL: usize = 64;
/// RFC 5321, section 4.5.3.1.3: a path of 256 less its angle brackets.
const MAX_ADDRESS: usize = 254;

/// A mail address that every mail server takes: plain ASCII, checked, of bounded length.
///
/// `Debug` and `Display` show `a***@e***.org`, so that no log line can leak it by accident;
/// [`EmailAddress::expose`] is the one way to the real text, and `grep` finds every use of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(lettre::Address);

/// Why a text is no mail address. Never repeats the text, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is nothing before or nothing after an `@`, or no `@`.
    #[error("a mail address has a name, an `@` and a domain, like `ada@example.org`")]
    Incomplete,
    /// The part before the `@` has letters outside ASCII.
    #[error("the part before the `@` must be ASCII: not every mail server takes other letters")]
    NotAscii,
    /// The part before the `@` is not what RFC 5321 allows.
    #[error("the part before the `@` has characters that do not belong there")]
    BadLocalPart,
    /// The part after the `@` is neither a domain nor an address in brackets.
    #[error("the part after the `@` is no domain name and no IP address in brackets")]
    BadDomain,
    /// Longer than any mail server has to take.
    #[error("a mail address has at most 64 characters before the `@`, and 254 in all")]
    TooLong,
    /// An angle bracket without its other half.
    #[error("a name and an address are written like `Ada <ada@example.org>`")]
    Unbalanced,
}

impl EmailAddress {
    /// The address itself. For the envelope and the headers; never for a log or an error.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }

    pub(super) fn to_lettre(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    /// Reads an address; spaces around it are forgiven. An international domain becomes its
    /// ASCII form, because SMTPUTF8 is not to be had everywhere.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.trim().rsplit_once('@').ok_or(AddressError::Incomplete)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        if !local.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        // lettre lets a quoted part contain anything, a line break included.
        if local.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(AddressError::BadLocalPart);
        }
        let domain = ascii_domain(domain)?;
        if local.len() > MAX_LOCAL || local.len() + 1 + domain.len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        let address = lettre::Address::new(local, domain).map_err(|error| match error {
            lettre::address::AddressError::InvalidDomain => AddressError::BadDomain,
            _ => AddressError::BadLocalPart,
        })?;
        Ok(Self(address))
    }
}

/// The domain as DNS knows it, or an address literal in the brackets RFC 5321 asks for.
fn ascii_domain(domain: &str) -> Result<String, AddressError> {
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let literal = literal.map(|rest| rest.strip_prefix("IPv6:").unwrap_or(rest));
    match literal.unwrap_or(domain).parse() {
        Ok(IpAddr::V4(ip)) => Ok(format!("[{ip}]")),
        Ok(IpAddr::V6(ip)) => Ok(format!("[IPv6:{ip}]")),
        Err(_) if literal.is_some() => Err(AddressError::BadDomain),
        // STD3: letters, digits and hyphens. lettre alone would let more through.
        Err(_) => idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3)
            .map(Cow::into_owned)
            .map_err(|_| AddressError::BadDomain),
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let initial = |text: &str| text.chars().next().unwrap_or('*');
        let (local, domain) = (self.0.user(), self.0.domain());
        match domain.rsplit_once('.') {
            _ if domain.starts_with('[') => f.pad(&format!("{}***@[***]", initial(local))),
            Some((host, top)) => {
                f.pad(&format!("{}***@{}***.{top}", initial(local), initial(host)))
            }
            None => f.pad(&format!("{}***@{}***", initial(local), initial(domain))),
        }
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and the name people know it by, as in `Ada Lovelace <ada@example.org>`.
///
/// Masked where the address is; the name does not appear in `Debug` or `Display` at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name, clean; never empty.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl FromStr for Mailbox {
    type Err = AddressError;

    /// Reads `Name <address>`, `"Name" <address>`, `<address>` or an address alone.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let Some(inner) = text.strip_suffix('>') else {
            // A stray `<` is the commonest typing error, and "no domain name" would not help.
            return match text.contains('<') && !text.starts_with('"') {
                true => Err(AddressError::Unbalanced),
                false => Ok(Self { name: None, address: text.parse()? }),
            };
        };
        let (name, address) = inner.rsplit_once('<').ok_or(AddressError::Unbalanced)?;
        let name = clean_name(&unquote(name.trim()));
        Ok(Self { name: (!name.is_empty()).then_some(name), address: address.parse()? })
    }
}

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { name: None, address }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

/// A quoted string without its quotes and backslashes; any other text as it is.
fn unquote(text: &str) -> Cow<'_, str> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return Cow::Borrowed(text) };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// A name made fit for a header, a line of text and a table cell.
///
/// Names come from databases and people: a line break in one makes lettre panic, a NUL makes it
/// lose the recipient, and a text-direction mark makes an innocent line read as another. Line
/// breaks and other control characters become a blank, invisible marks vanish, runs of blanks
/// shrink to one, and what is longer than [`MAX_NAME_CHARS`] ends in an ellipsis.
pub fn clean_name(raw: &str) -> String {
    let visible = raw.chars().filter(|c| !is_invisible(*c));
    let blanks: String = visible.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = blanks.split_whitespace().collect();
    shorten(&words.join(" "), MAX_NAME_CHARS)
}

/// Marks that take no room and change how the text around them looks.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction overrides and isolates
        | '\u{200e}' | '\u{200f}' | '\u{061c}' // direction marks
        | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{00ad}' // blanks and breaks of no width
        | '\u{fff9}'..='\u{fffb}' // interlinear annotations
    )
}

/// `text`, or as much of it as makes `max` characters together with an ellipsis.
pub(super) fn shorten(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    let end = text.char_indices().nth(max - 1).map_or(text.len(), |(index, _)| index);
    format!("{}…", text[..end].trim_end())
}

#[cfg(test)]
mod tests;
