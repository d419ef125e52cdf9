//! What bodies are made of: JSON Schema, in words.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::http::v1::docs::words;

/// How deep an example goes into what it is made of.
const DEEPEST: usize = 4;

/// The name of a schema that is described elsewhere.
fn name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// What a value is, with a link where it is described elsewhere.
pub(super) fn kind(schema: &Value) -> Markup {
    if let Some(name) = name(schema) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    let choices = ["oneOf", "anyOf", "allOf"].iter().find_map(|word| schema[*word].as_array());
    if let Some(choices) = choices {
        return html! {
            @for (n, choice) in choices.iter().enumerate() {
                @if n > 0 { " or " }
                (kind(choice))
            }
        };
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec!["anything"],
    };
    html! {
        @for (n, one) in kinds.iter().enumerate() {
            @if n > 0 { " or " }
            @if *one == "array" { "list of " (kind(&schema["items"])) } @else { (one) }
        }
        (limits(schema))
    }
}

/// What narrows a value down.
fn limits(schema: &Value) -> Markup {
    let number = |word: &str| schema[word].as_i64();
    let range = match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("{least} or more")),
        (None, Some(most)) => Some(format!("{most} or less")),
        (None, None) => None,
    };
    let length = match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
        (None, Some(most)) => Some(format!("{most} characters or less")),
        (Some(least), None) => Some(format!("{least} characters or more")),
        (None, None) => None,
    };
    let form = schema["format"].as_str().filter(|form| *form == "date-time");
    let default = schema.get("default").map(|default| format!("{default} if absent"));
    let all = [form.map(str::to_owned), range, length, default];
    let all: Vec<String> = all.into_iter().flatten().collect();
    html! { @if !all.is_empty() { " " span.soft { "(" (all.join(", ")) ")" } } }
}

/// The fields of an object.
pub(super) fn fields(schema: &Value) -> Markup {
    let Some(fields) = schema["properties"].as_object() else {
        return html! { p { (kind(schema)) } };
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    html! {
        table {
            thead { tr { th { "field" } th { "type" } th { "meaning" } } }
            tbody {
                @for (name, field) in fields {
                    tr {
                        td { code { (name) } }
                        td { (kind(field)) }
                        td {
                            @if required.contains(&name.as_str()) { strong { "required" } " " }
                            (words(field["description"].as_str().unwrap_or_default()))
                        }
                    }
                }
            }
        }
    }
}

/// A body that has what is required, and no more.
pub(super) fn example(document: &Value, schema: &Value) -> Value {
    of(document, schema, 0)
}

fn of(document: &Value, schema: &Value, depth: usize) -> Value {
    if let Some(name) = name(schema) {
        return of(document, &document["components"]["schemas"][name], depth);
    }
    let kind = match &schema["type"] {
        Value::Array(all) => all.first().and_then(Value::as_str),
        one => one.as_str(),
    };
    match kind {
        Some("object") if depth < DEEPEST => {
            let required = schema["required"].as_array().into_iter().flatten();
            let field = |name: &Value| {
                let name = name.as_str()?;
                let value = of(document, &schema["properties"][name], depth + 1);
                Some((name.to_owned(), value))
            };
            Value::Object(required.filter_map(field).collect::<Map<_, _>>())
        }
        Some("object") => Value::Object(Map::new()),
        Some("integer" | "number") => schema["minimum"].as_i64().unwrap_or(1).into(),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        _ => "…".into(),
    }
}
