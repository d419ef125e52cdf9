//! The layer that the environment makes: `LAPSED_HTTP__LISTEN` for `http.listen`.

use crate::config::{layer::Layer, origin::Origin, problem::Problem, schema, suggest};

const PREFIX: &str = "LAPSED_";

/// Names the file; it is read before there is a configuration.
const NAMES_THE_FILE: &str = "LAPSED_CONFIG";

/// The variable that sets `option`.
pub(super) fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_uppercase().replacen('.', "__", 1))
}

/// Reads what `variables` set. Those of others are passed over; one that looks like ours and is
/// not is a problem, because otherwise a slip of the pen is found only when it is too late.
pub(super) fn read(variables: impl Iterator<Item = (String, String)>) -> Layer {
    let mut layer = Layer::default();
    let mut variables: Vec<_> = variables
        .filter(|(name, text)| {
            name.starts_with(PREFIX) && name != NAMES_THE_FILE && !is_service_link(name, text)
        })
        .collect();
    variables.sort_unstable();
    for (name, text) in variables {
        let origin = Origin::Env { name: name.clone() };
        match schema::options().find(|(option, _)| variable(option) == name) {
            Some(option) => layer.admit(option, option.1.read(&text), origin),
            None => layer.problems.push(unknown(&name, origin)),
        }
    }
    layer
}

fn unknown(name: &str, origin: Origin) -> Problem {
    let bare = name.trim_start_matches(PREFIX).to_lowercase();
    let near = match bare.split_once("__") {
        Some((section, option)) => suggest::option(section, option),
        None => schema::options()
            .map(|(option, _)| option)
            .find(|option| option.replace('.', "_") == bare)
            .or_else(|| suggest::option("", &bare)),
    };
    let hint = match near {
        Some(option) => format!("did you mean `{}`?", variable(option)),
        None => "options are written `LAPSED_SECTION__NAME`".to_owned(),
    };
    Problem::stray(origin, "no option has this name".to_owned(), Some(hint))
}

/// Whether Kubernetes made this variable. It gives every pod such ones for each service of the
/// namespace, so that a service called `lapsed` would keep the daemon from starting:
/// `LAPSED_SERVICE_HOST`, `LAPSED_SERVICE_PORT_HTTP`, `LAPSED_PORT=tcp://10.0.0.1:8470`,
/// `LAPSED_PORT_8470_TCP_ADDR` and so on.
fn is_service_link(name: &str, text: &str) -> bool {
    let protocols = ["TCP", "UDP", "SCTP"];
    let has_port = || {
        let (_, rest) = name.rsplit_once("_PORT_")?;
        let mut parts = rest.split('_');
        let port = parts.next()?;
        Some(port.parse::<u16>().is_ok() && protocols.contains(&parts.next()?))
    };
    let is_url = protocols.iter().any(|protocol| {
        text.strip_prefix(&protocol.to_lowercase()).is_some_and(|rest| rest.starts_with("://"))
    });
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || (name.ends_with("_PORT") && is_url)
            || has_port().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, text: &str) -> Layer {
        read([(name.to_owned(), text.to_owned())].into_iter())
    }

    #[test]
    fn every_option_has_a_variable_of_its_own() {
        let names: std::collections::HashSet<_> =
            schema::options().map(|(option, _)| variable(option)).collect();
        assert_eq!(names.len(), schema::options().count());
        assert_eq!(variable("lifecycle.max_ttl_days"), "LAPSED_LIFECYCLE__MAX_TTL_DAYS");
    }

    #[test]
    fn the_variables_of_others_are_passed_over() {
        for (name, text) in [
            ("PATH", "/bin"),
            ("LAPSED_CONFIG", "lapsed.toml"),
            ("LAPSED", "1"),
            ("LAPSED_SERVICE_HOST", "10.0.0.1"),
            ("LAPSED_HTTP_SERVICE_PORT", "8470"),
            ("LAPSED_SERVICE_PORT_HTTP", "8470"),
            ("LAPSED_PORT", "tcp://10.0.0.1:8470"),
            ("LAPSED_PORT_8470_TCP", "tcp://10.0.0.1:8470"),
            ("LAPSED_PORT_8470_TCP_ADDR", "10.0.0.1"),
        ] {
            let layer = read_one(name, text);
            assert!(layer.problems.is_empty() && layer.entries.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_looks_like_ours_and_is_not_is_a_problem() {
        for name in ["LAPSED_PORT", "LAPSED_LOG", "LAPSED_HTTP__PORT", "LAPSED_http__listen"] {
            assert_eq!(read_one(name, "8470").problems.len(), 1, "{name}");
        }
    }
}
