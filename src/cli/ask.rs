//! What is typed and not given as an argument: codes and secrets, which `ps` and a shell's history
//! would show.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::{
    cli::{Context, Failure},
    domain::otp::Attempt,
};

/// No line that is asked for is longer.
const LONGEST: u64 = 4096;

/// The one value an argument can have that stands for stdin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stdin;

impl std::str::FromStr for Stdin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A secret that was given by mistake is not repeated.
        if text == "-" {
            Ok(Self)
        } else {
            Err("give -, and the text on stdin: others can see arguments")
        }
    }
}

/// Whether somebody is there to be asked.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Reads a line from stdin, without its end.
pub(super) fn line() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    if line.is_empty() {
        return Err(Failure::new("nothing was given on stdin").usage().into());
    }
    Ok(Zeroizing::new(line.trim().to_owned()))
}

/// Has somebody who is there type `word`, after they were shown what it is about. A script is not
/// asked.
pub(super) fn confirm(ctx: &Context, what: &str, word: &str) -> anyhow::Result<()> {
    if !is_terminal() {
        return Ok(());
    }
    ctx.out.note(&format!("{what}; type {word} to go on:"));
    if line()?.as_str() == word {
        return Ok(());
    }
    Err(Failure::new("that was not it, so nothing was changed").into())
}

/// Asks for a code on stderr, if somebody is there, and reads it from stdin.
pub(super) fn code(ctx: &Context, what: &str) -> anyhow::Result<Attempt> {
    if is_terminal() {
        ctx.out.note(what);
    }
    Ok(Attempt::parse(&line()?)?)
}
