//! The languages in which people are spoken to.

/// A language of mails and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, in which everything is said that another language lacks.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// Every language there is.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag, as browsers and mail programs know it (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language of a tag such as `de-CH`, if it is one of these: its first part says so.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_language_whatever_the_region() {
        for (tag, language) in [
            ("en", Some(Language::English)),
            ("EN-gb", Some(Language::English)),
            ("de", Some(Language::German)),
            ("de-CH-1996", Some(Language::German)),
            ("den", None),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(Language::of_tag(tag), language, "{tag}");
        }
        assert!(Language::ALL.into_iter().all(|one| Language::of_tag(one.tag()) == Some(one)));
    }
}
