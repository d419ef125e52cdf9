//! Fields that are set, or left to the level above again.

use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    domain::identity::KeyKind,
    store::policies::{PolicyLayer, own, words::NONE},
};

/// A field that is set, or left to the level above again: `window_days=3`,
/// `reminder_days=30,7,1`, `max_ttl_days=never`, `window_days=inherit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub(super) field: String,
    pub(super) value: Option<Value>,
}

/// The fields that are lists, even of one.
const LISTS: [&str; 5] =
    ["reminder_days", "window_proof", "mfa_required_for", "reminder_channels", "delegated"];

/// The text is no [`Edit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a change is written FIELD=VALUE, such as window_days=3 or window_days=inherit")]
pub struct NoEdit;

impl FromStr for Edit {
    type Err = NoEdit;

    fn from_str(text: &str) -> Result<Self, NoEdit> {
        let (field, value) = text.split_once('=').ok_or(NoEdit)?;
        let is_field = |c: char| c.is_ascii_lowercase() || c == '_';
        if field.is_empty() || value.is_empty() || !field.chars().all(is_field) {
            return Err(NoEdit);
        }
        let one = |text: &str| {
            let text = text.trim();
            // Such a number is the name of a document.
            if field == "risk_analysis_ref" {
                return Value::from(text);
            }
            if let Ok(flag) = text.parse::<bool>() {
                return Value::from(flag);
            }
            text.parse::<u16>().map_or_else(|_| Value::from(text), Value::from)
        };
        let value = match value {
            "inherit" => None,
            // An empty list, where there may be one: nothing needs a code, nothing is left to others.
            NONE if LISTS.contains(&field) => Some(Value::Array(Vec::new())),
            list if LISTS.contains(&field) => Some(list.split(',').map(one).collect()),
            word => Some(one(word)),
        };
        Ok(Self { field: field.to_owned(), value })
    }
}

impl Edit {
    /// Sets `field` to a value as JSON has it; `None` leaves it to the level above.
    pub fn new(field: &str, value: Option<Value>) -> Self {
        Self { field: field.to_owned(), value }
    }

    /// The field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Its value; `None` leaves it to the level above.
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }
}

/// Whether one of `edits` gives `field` a value.
pub(super) fn sets(edits: &[Edit], field: &str) -> bool {
    edits.iter().any(|edit| edit.field == field && edit.value.is_some())
}

/// What a key sets with `edits` made, as JSON; `None` if it sets nothing any more.
pub(super) fn own_edited(before: Option<&str>, edits: &[Edit]) -> Result<Option<String>, String> {
    let mut all: Map<String, Value> = object(before)?;
    for Edit { field, value } in edits {
        if field == "delegated" {
            return Err("a key has no level below it: an environment delegates".to_owned());
        }
        put(&mut all, field, value.as_ref());
    }
    if all.is_empty() {
        return Ok(None);
    }
    let change = own::parse(&Value::from(all).to_string())?;
    serde_json::to_string(&change).map(Some).map_err(|error| error.to_string())
}

fn object(json: Option<&str>) -> Result<Map<String, Value>, String> {
    let parsed = json.map_or_else(|| Ok(Map::new()), serde_json::from_str);
    parsed.map_err(|error| format!("what is set now makes no sense: {error}"))
}

/// Sets a field, or leaves it to the level above.
fn put(fields: &mut Map<String, Value>, field: &str, value: Option<&Value>) {
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
        None => drop(fields.remove(field)),
    }
}

/// The layer with `edits` made, as JSON; `None` if it sets nothing any more.
pub(super) fn edited(
    before: Option<&str>,
    kind: Option<KeyKind>,
    edits: &[Edit],
) -> Result<Option<String>, String> {
    let mut all = object(before)?;
    let fields = match kind {
        None => &mut all,
        Some(kind) => {
            let part = all.entry(kind.as_str()).or_insert_with(|| Map::new().into());
            part.as_object_mut().ok_or_else(|| format!("`{}` is no object", kind.as_str()))?
        }
    };
    for Edit { field, value } in edits {
        if field == "delegated" && kind.is_some() {
            return Err("`delegated` is set for keys of every kind".to_owned());
        }
        // Not to be set by a name that stands for a kind of key.
        if KeyKind::ALL.iter().any(|kind| kind.as_str() == field) {
            return Err(format!("`{field}` is a kind of key, not a field"));
        }
        put(fields, field, value.as_ref());
    }
    all.retain(|_, part| part.as_object().is_none_or(|part| !part.is_empty()));
    if all.is_empty() {
        return Ok(None);
    }
    let json = Value::from(all).to_string();
    let layer = PolicyLayer::parse(&json).map_err(|error| error.to_string())?;
    serde_json::to_string(&layer).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(before: &str, kind: Option<KeyKind>, edits: &[&str]) -> Result<Option<String>, String> {
        let edits: Vec<Edit> = edits.iter().map(|text| text.parse().unwrap()).collect();
        edited(Some(before).filter(|text| !text.is_empty()), kind, &edits)
    }

    #[test]
    fn fields_are_set_and_left_to_the_level_above() {
        let set = edit("", None, &["window_days=3", "reminder_days=14", "max_ttl_days=never"]);
        let set = set.unwrap().unwrap();
        assert_eq!(set, r#"{"reminder_days":[14],"window_days":3,"max_ttl_days":"never"}"#);
        let less = edit(&set, None, &["window_days=inherit", "reminder_days=30,7,1"]).unwrap();
        assert_eq!(less.unwrap(), r#"{"reminder_days":[30,7,1],"max_ttl_days":"never"}"#);
        let of_kind = edit(r#"{"undo_hours":1}"#, Some(KeyKind::User), &["window_days=3"]).unwrap();
        assert_eq!(of_kind.as_deref(), Some(r#"{"undo_hours":1,"user":{"window_days":3}}"#));
        let none =
            edit(r#"{"user":{"window_days":3}}"#, Some(KeyKind::User), &["window_days=inherit"]);
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn a_list_may_be_empty_where_that_makes_sense() {
        let set = edit("", None, &["mfa_required_for=none", "window_proof=none"]).unwrap();
        assert_eq!(set.as_deref(), Some(r#"{"mfa_required_for":[],"window_proof":[]}"#));
        // Of a field that is no list it is a word like any other.
        assert!(edit("", None, &["window_days=none"]).is_err());
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for text in ["", "window_days", "=3", "window_days=", "Window=3"] {
            assert_eq!(text.parse::<Edit>(), Err(NoEdit), "{text}");
        }
        let error = edit("", None, &["window_day=3"]).unwrap_err();
        assert!(error.starts_with("unknown field `window_day`, expected one of"), "{error}");
        assert!(edit("", None, &["window_days=soon"]).is_err());
        assert!(edit("", None, &["user=3"]).is_err());
    }
}
