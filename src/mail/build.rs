//! Letters to bytes: the message as it goes over the wire.
//!
//! lettre panics at some names and silently loses recipients at others. So names are cleaned once
//! more here, recipients never go through a header, and the whole work stands behind a fence.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use lettre::{
    Message,
    address::Envelope,
    message::{
        self, Mailboxes, MultiPart, SinglePart,
        header::{self, ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use thiserror::Error;

use crate::mail::{
    address::{EmailAddress, Mailbox, clean_name},
    calendar::calendar,
    digest::{Audience, Digest},
    render::Letter,
};

/// RFC 5322, section 2.1.1, without the line break.
const MAX_LINE: usize = 998;

/// Threads that one mail is filed under; a digest of more keys is a thread of its own anyway.
const MAX_REFERENCES: usize = 10;

/// Divides the parts. It is the same in every attempt, so every attempt sends the same bytes, and
/// it can stand in no part: neither encoding ever writes `=_`.
const BOUNDARY: &str = "=_lapsed";
/// Divides the mail from what is attached to it, likewise. Neither begins like the other.
const OUTER_BOUNDARY: &str = "=_whole";

/// What is attached: entries for a calendar, that a later mail can move.
const CALENDAR: &str = "text/calendar; charset=utf-8; method=PUBLISH";

/// Who sends, as the operator has set it up.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The address in `From` and in the envelope, with the name people see.
    pub from: Mailbox,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<Mailbox>,
    /// What mail programs sort by: the `List-Id`, without angle brackets.
    pub list_id: String,
    /// The domain in the names of threads.
    pub domain: String,
}

/// A message ready to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Built {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients, in the digest's order.
    pub to: Vec<String>,
    /// The message: ASCII, its lines ending in CRLF and at most 998 characters long.
    pub bytes: Vec<u8>,
}

/// Why a mail could not be built. Trying again does not help. Repeats nothing of what the mail
/// was to say.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The digest has no recipient.
    #[error("a mail to nobody")]
    NoRecipient,
    /// A name for a header that would break it.
    #[error("{0} must be letters, digits, dots and the like, without blanks")]
    BadIdentifier(&'static str),
    /// lettre does not accept a part of the message.
    #[error("compose the mail")]
    Compose(#[from] lettre::error::Error),
    /// A byte outside ASCII, or a line longer than mail servers take.
    #[error("the mail would not pass every mail server")]
    NotSendable,
    /// lettre panicked.
    #[error("composing the mail panicked")]
    Panicked,
}

/// Builds the message that carries `letter` to the recipients of `digest`.
///
/// The same arguments give the same bytes.
pub fn build(
    letter: &Letter,
    digest: &Digest,
    sender: &Sender,
    now: DateTime<Utc>,
) -> Result<Built, BuildError> {
    let bytes = fenced(|| compose(letter, digest, sender, now))??;
    let is_too_long = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() > MAX_LINE;
    if !bytes.is_ascii() || bytes.split(|byte| *byte == b'\n').any(is_too_long) {
        return Err(BuildError::NotSendable);
    }
    let to = digest.to.iter().map(|to| to.expose().to_owned()).collect();
    Ok(Built { from: sender.from.address.expose().to_owned(), to, bytes })
}

/// Does `work`, and turns its panic into an error: one bad name in a database must not take the
/// other mails with it.
fn fenced<T>(work: impl FnOnce() -> T) -> Result<T, BuildError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_panic| BuildError::Panicked)
}

fn compose(
    letter: &Letter,
    digest: &Digest,
    sender: &Sender,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, BuildError> {
    let message_id = identifier("the Message-ID", &digest.message_id)?;
    let list_id = identifier("the List-Id", &sender.list_id)?;
    let domain = identifier("the domain of threads", &sender.domain)?;
    let recipients = recipients(digest)?;
    let envelope = Envelope::new(
        Some(sender.from.address.to_lettre()),
        digest.to.iter().map(EmailAddress::to_lettre).collect(),
    )?;
    let mut builder = Message::builder()
        // Without one, lettre reads the recipients back from the header, and loses those it
        // cannot read.
        .envelope(envelope)
        .from(mailbox(sender.from.name.as_deref(), &sender.from.address))
        .mailbox(header::To::from(recipients))
        .subject(defuse(&letter.subject))
        .date(SystemTime::from(now))
        .message_id(Some(format!("<{message_id}>")));
    let references = references(digest, domain, now);
    if !references.is_empty() {
        builder = builder.references(references);
    }
    builder = builder
        .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
        .raw_header(raw("X-Auto-Response-Suppress", "All".to_owned()))
        .raw_header(raw("List-Id", format!("<{list_id}>")));
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(mailbox(reply_to.name.as_deref(), &reply_to.address));
    }
    for header in unsubscribe(digest, now) {
        builder = builder.raw_header(header);
    }
    let is_for_owner = matches!(digest.audience, Audience::Owner);
    let parts = MultiPart::alternative()
        .boundary(BOUNDARY)
        .singlepart(part(ContentType::TEXT_PLAIN, &letter.text))
        .singlepart(part(ContentType::TEXT_HTML, &letter.html));
    let parts = match calendar(digest, domain, now).filter(|_| is_for_owner) {
        None => parts,
        Some(calendar) => MultiPart::mixed().boundary(OUTER_BOUNDARY).multipart(parts).singlepart(
            SinglePart::builder()
                .header(ContentType::parse(CALENDAR).map_err(|_| BuildError::NotSendable)?)
                .header(header::ContentDisposition::attachment("expiry.ics"))
                .header(ContentTransferEncoding::Base64)
                .body(calendar),
        ),
    };
    Ok(builder.multipart(parts)?.formatted())
}

/// How an early reminder is switched off (RFC 2369); by a mail service on its reader's behalf too,
/// where the address is one that RFC 8058 allows for that.
fn unsubscribe(digest: &Digest, now: DateTime<Utc>) -> Vec<HeaderValue> {
    let link = digest.unsubscribe_link(now);
    let Some(link) = link.filter(|link| is_uri(link)) else { return Vec::new() };
    let mut headers = vec![raw("List-Unsubscribe", format!("<{link}>"))];
    if link.starts_with("https://") {
        headers.push(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    headers
}

/// Whether `text` can stand between angle brackets in a header as an address of the web.
fn is_uri(text: &str) -> bool {
    text.len() <= 900
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
}

/// Everybody the mail is for. A name goes only with an owner's single address.
fn recipients(digest: &Digest) -> Result<Mailboxes, BuildError> {
    match digest.to.as_slice() {
        [] => Err(BuildError::NoRecipient),
        [one] => Ok(mailbox(digest.to_name.as_deref(), one).into()),
        many => Ok(many.iter().map(|address| mailbox(None, address)).collect::<Vec<_>>().into()),
    }
}

fn mailbox(name: Option<&str>, address: &EmailAddress) -> message::Mailbox {
    let name = name.map(|name| defuse(&clean_name(name))).filter(|name| !name.is_empty());
    message::Mailbox::new(name, address.to_lettre())
}

/// Text that no mail program takes for an encoded word (RFC 2047): lettre passes one on as it is,
/// and a decoded one could contain anything, line breaks included.
fn defuse(text: &str) -> String {
    text.replace("=?", "= ?")
}

/// One name per key, so that mail programs file the mails about it together.
fn references(digest: &Digest, domain: &str, now: DateTime<Utc>) -> String {
    let urgent = digest.by_urgency(now).into_iter().take(MAX_REFERENCES);
    let names: Vec<_> =
        urgent.map(|(_, item)| format!("<key.{}@{domain}>", item.public_id)).collect();
    names.join(" ")
}

/// `text`, if it can stand between angle brackets in a header.
fn identifier<'a>(what: &'static str, text: &'a str) -> Result<&'a str, BuildError> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"<>()[],;:\"\\".contains(&byte);
    match !text.is_empty() && text.len() <= 250 && text.bytes().all(is_fit) {
        true => Ok(text),
        false => Err(BuildError::BadIdentifier(what)),
    }
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// A part of the message, in the shorter of the encodings that make it ASCII. Never as it is:
/// see [`BOUNDARY`].
fn part(content_type: ContentType, text: &str) -> SinglePart {
    let n_other = text.bytes().filter(|byte| !byte.is_ascii()).count();
    // Three bytes for each that is not ASCII, against four for three of any kind.
    let encoding = match n_other * 6 > text.len() {
        true => ContentTransferEncoding::Base64,
        false => ContentTransferEncoding::QuotedPrintable,
    };
    SinglePart::builder().header(content_type).header(encoding).body(text.to_owned())
}

/// A message may contain links that open doors, so none of it is for logs.
impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_recipients, n_bytes) = (self.to.len(), self.bytes.len());
        write!(f, "Built({n_recipients} recipients, {n_bytes} bytes)")
    }
}

#[cfg(test)]
mod tests;
