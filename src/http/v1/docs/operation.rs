//! One route: what it does, who may call it, what it takes and answers, and how it is called.

use maud::{Markup, html};
use serde_json::Value;

use crate::http::v1::docs::{prose, schema, words};

/// What links to the route.
pub(super) fn anchor(method: &str, path: &str) -> String {
    let path: String =
        path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{method}{path}")
}

/// What the route does, in a few words.
pub(super) fn title(operation: &Value) -> &str {
    operation["summary"].as_str().unwrap_or_default()
}

/// The roles that may call the route; `None` if it needs no administrator's token.
fn roles(operation: &Value) -> Option<Vec<&str>> {
    let roles = operation["security"][0]["token"].as_array()?;
    Some(roles.iter().filter_map(Value::as_str).collect())
}

fn needs_key(operation: &Value) -> bool {
    operation["security"][0].get("key").is_some()
}

/// The schema of a JSON body.
fn body(described: &Value) -> Option<&Value> {
    let contents = described["content"].as_object()?;
    contents.values().next().map(|content| &content["schema"])
}

pub(super) fn section(document: &Value, method: &str, path: &str, operation: &Value) -> Markup {
    let parameters = operation["parameters"].as_array();
    let asked = body(&operation["requestBody"]);
    html! {
        section id=(anchor(method, path)) {
            h3 { (title(operation)) }
            p.route { span class={ "method " (method) } { (method.to_uppercase()) } " " code { (path) } }
            (prose(operation["description"].as_str().unwrap_or_default()))
            p.soft {
                @match roles(operation) {
                    Some(roles) => { "Roles: " (roles.join(", ")) }
                    None if needs_key(operation) => { "Needs the very key that it is about" }
                    None => { "Needs no token" }
                }
            }
            @if let Some(parameters) = parameters {
                table {
                    caption { "Parameters" }
                    thead { tr { th { "name" } th { "in" } th { "type" } th { "meaning" } } }
                    tbody {
                        @for parameter in parameters {
                            tr {
                                td { code { (parameter["name"].as_str().unwrap_or_default()) } }
                                td { (parameter["in"].as_str().unwrap_or_default()) }
                                td { (schema::kind(&parameter["schema"])) }
                                td {
                                    @if parameter["required"] == Value::Bool(true) {
                                        strong { "required" } " "
                                    }
                                    (words(parameter["description"].as_str().unwrap_or_default()))
                                }
                            }
                        }
                    }
                }
            }
            @if let Some(asked) = asked { p { "Body: " (schema::kind(asked)) } }
            table {
                caption { "Answers" }
                thead { tr { th { "status" } th { "body" } th { "meaning" } } }
                tbody {
                    @for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
                        tr {
                            td { (if status == "default" { "else" } else { status.as_str() }) }
                            td { @if let Some(answered) = body(answer) { (schema::kind(answered)) } }
                            td {
                                (words(answer["description"].as_str().unwrap_or_default()))
                                @for (name, _) in answer["headers"].as_object().into_iter().flatten() {
                                    " with " code { (name) }
                                }
                            }
                        }
                    }
                }
            }
            pre { (curl(document, method, path, operation, asked)) }
        }
    }
}

/// The route as it is called from a shell.
fn curl(
    document: &Value,
    method: &str,
    path: &str,
    operation: &Value,
    asked: Option<&Value>,
) -> String {
    let mut words = vec!["curl".to_owned()];
    if method != "get" {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    words.push(format!("\"$LAPSED{}\"", path.replace('{', "$").replace('}', "")));
    if roles(operation).is_some() {
        words.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    } else if needs_key(operation) {
        words.push("-H \"Authorization: Bearer $KEY\"".to_owned());
    }
    let mut lines = words.join(" ");
    if let Some(asked) = asked {
        let example = schema::example(document, asked);
        lines += &format!(" \\\n  -H 'Content-Type: application/json' -d '{example}'");
    }
    lines
}
