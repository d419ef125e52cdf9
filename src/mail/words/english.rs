//! The English ones.

use super::{Labels, Words};

pub(super) static ENGLISH: Words = Words {
    labels: Labels {
        name: "Key",
        id: "ID",
        place: "Where",
        kind: "Kind",
        created: "Created",
        last_used: "Last used",
        expires: "Expires",
        expired: "Expired",
        back: "Can be brought back",
    },
    kinds: ["user key", "application key", "service token"],
    until: "until",
    never: "never",
    unknown_date: "a date not known",
    soon: "soon",
    no_name: "(no name)",
    you: "you",
    of_owner: ("Your", "your"),
    of_others: ("The", "their"),
    not_an_address: "the address is not valid",
    at_any_moment: "at any moment",
    today: "today",
    tomorrow: "tomorrow",
    yesterday: "yesterday",
    days_ahead: ("in ", " days"),
    days_ago: ("", " days ago"),
    weekdays: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    date: "%-d\u{a0}%b\u{a0}%Y",
    entry: ("API key ", " expires"),
    entry_of: ("Key ", " of "),
};
