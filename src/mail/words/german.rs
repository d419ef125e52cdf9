//! The German ones.

use super::{Labels, Words};

pub(super) static GERMAN: Words = Words {
    labels: Labels {
        name: "Schlüssel",
        id: "ID",
        place: "Wo",
        kind: "Art",
        created: "Angelegt",
        last_used: "Zuletzt benutzt",
        expires: "Läuft ab",
        expired: "Abgelaufen",
        back: "Rückholbar",
    },
    kinds: ["Benutzerschlüssel", "Anwendungsschlüssel", "Token eines Dienstes"],
    until: "bis",
    never: "nie",
    unknown_date: "(Datum unbekannt)",
    soon: "bald",
    no_name: "(ohne Namen)",
    you: "Sie",
    of_owner: ("Ihr", "Ihrer"),
    of_others: ("Der", "der"),
    not_an_address: "die Adresse ist ungültig",
    at_any_moment: "jeden Augenblick",
    today: "heute",
    tomorrow: "morgen",
    yesterday: "gestern",
    days_ahead: ("in ", " Tagen"),
    days_ago: ("vor ", " Tagen"),
    weekdays: ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
    date: "%d.%m.%Y",
    entry: ("API-Schlüssel ", " läuft ab"),
    entry_of: ("Schlüssel ", " von "),
};
