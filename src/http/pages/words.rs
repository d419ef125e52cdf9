//! What the pages say, by language. All texts are in `text/*.ftl`; a language is added by a file
//! and a line here, and what it lacks is said in English.

use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use unic_langid::LanguageIdentifier;

pub(in crate::http) use crate::domain::language::Language;

static ENGLISH: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| {
    bundle("en", concat!(include_str!("text/en.ftl"), include_str!("../admin/text/en.ftl")))
});
static GERMAN: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| {
    bundle("de", concat!(include_str!("text/de.ftl"), include_str!("../admin/text/de.ftl")))
});

impl Language {
    /// The first of the languages a browser asks for (RFC 9110 section 12.5.4) that there is.
    /// Browsers name them in the order of preference, so weights need not be read.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let known = |range: &str| Self::of_tag(range.split(';').next().unwrap_or_default().trim());
        accepted.and_then(|text| text.split(',').find_map(known)).unwrap_or(Self::English)
    }

    /// The message called `id`.
    pub(in crate::http) fn say(self, id: &str) -> String {
        self.say_of(id, None)
    }

    /// The message called `id`, about one `value` called `name`.
    pub(in crate::http) fn say_with(self, id: &str, name: &str, value: &str) -> String {
        let mut args = FluentArgs::new();
        args.set(name.to_owned(), value.to_owned());
        self.say_of(id, Some(&args))
    }

    /// The message called `id`, with these arguments.
    pub(in crate::http) fn say_of(self, id: &str, args: Option<&FluentArgs<'_>>) -> String {
        let own = match self {
            Self::English => &*ENGLISH,
            Self::German => &*GERMAN,
        };
        [own, &*ENGLISH].into_iter().find_map(|bundle| format(bundle, id, args)).unwrap_or_default()
    }
}

fn format(
    bundle: &FluentBundle<FluentResource>,
    id: &str,
    args: Option<&FluentArgs<'_>>,
) -> Option<String> {
    let pattern = bundle.get_message(id)?.value()?;
    Some(bundle.format_pattern(pattern, args, &mut Vec::new()).into_owned())
}

fn bundle(tag: &str, text: &str) -> FluentBundle<FluentResource> {
    // A tag is for plurals and numbers only; one that makes no sense is no tag.
    let language: LanguageIdentifier = tag.parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![language]);
    // A page sets off what people named by its own means.
    bundle.set_use_isolating(false);
    // A line that makes no sense is missing; the test below finds it.
    let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(text.to_owned());
    bundle.add_resource_overriding(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<&str> {
        FluentResource::try_new(text.to_owned()).expect("every line makes sense");
        text.lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
            .filter_map(|line| Some(line.split_once(" =")?.0))
            .collect()
    }

    #[test]
    fn every_language_says_everything() {
        for (english, german) in [
            (include_str!("text/en.ftl"), include_str!("text/de.ftl")),
            (include_str!("../admin/text/en.ftl"), include_str!("../admin/text/de.ftl")),
        ] {
            assert_eq!(ids(german), ids(english));
            for id in ids(english) {
                assert!(!Language::English.say(id).is_empty(), "{id}");
                assert!(!Language::German.say(id).is_empty(), "{id}");
            }
        }
    }

    #[test]
    fn a_browser_gets_the_first_language_there_is() {
        for (accepted, language) in [
            ("de-CH,de;q=0.9,en;q=0.8", Language::German),
            ("fr, en;q=0.5, de;q=0.3", Language::English),
            ("tlh", Language::English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
            assert_eq!(Language::of(&headers), language, "{accepted}");
        }
    }
}
