//! Loading: the defaults, then the file, then the environment; the later wins.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use figment::{Figment, providers::Serialized};

use crate::config::{
    Config, ConfigErrors, DEFAULTS, Origin, Origins, Problem, check,
    check::Conflict,
    environment, file,
    layer::{Layer, at_fault},
};

/// A configuration, and what is known about how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each value comes from.
    pub origins: Origins,
    /// What is allowed, and yet probably not meant.
    pub warnings: Vec<Problem>,
    /// The values as they were written, for showing them.
    pub(super) values: BTreeMap<&'static str, toml::Value>,
}

impl Config {
    /// Reads the built-in defaults, then `file`, then the variables `LAPSED_SECTION__NAME` among
    /// `env`. The later wins; lists are replaced, not joined. Nothing else is touched: whether
    /// the files that the configuration names exist is the question of [`Loaded::check_files`].
    ///
    /// `env` is meant to be the process environment, less what is not UTF-8
    /// (`std::env::vars` panics on it; `vars_os` does not).
    ///
    /// # Errors
    /// Everything that is wrong, at once: a file that cannot be read or is not TOML, unknown
    /// names, values that are not allowed, and values that do not fit together. A value that is
    /// wrong is an error even where a later layer puts another in its place.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        over_defaults(file.map(file::read).unwrap_or_default(), env)
    }
}

/// The defaults, `file` over them, and `env` over both.
pub(super) fn over_defaults(
    file: Layer,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    merge([defaults(), file, environment::read(env)])
}

/// The built-in layer. Its values come from nowhere, as far as an operator is concerned.
pub(super) fn defaults() -> Layer {
    let mut layer = file::parse(DEFAULTS, Path::new("default.toml"));
    for entry in &mut layer.entries {
        entry.origin = Origin::Default;
    }
    layer
}

fn merge(layers: [Layer; 3]) -> Result<Loaded, ConfigErrors> {
    let mut problems = Vec::new();
    let mut origins = Origins::default();
    let mut values = BTreeMap::new();
    let mut figment = Figment::new();
    for layer in layers {
        figment = figment.merge(Serialized::defaults(layer.table()));
        for entry in layer.entries {
            origins.note(entry.option, entry.origin);
            values.insert(entry.option, entry.value);
        }
        problems.extend(layer.problems);
    }

    // Where a value did not fit, the default stands in its place, so that the rest can be looked
    // at. A conflict with what only stands in is none.
    let at_fault = at_fault(&problems);
    let loaded = figment.extract::<Config>().map(|config| {
        problems.extend(placed(check::errors(&config), &origins, &at_fault));
        let warnings = placed(check::warnings(&config), &origins, &at_fault);
        Loaded { config, origins, warnings, values }
    });
    match loaded {
        Ok(loaded) => ConfigErrors::unless_empty(problems).map(|()| loaded),
        Err(error) => {
            // Only if a rule admits what the option's type cannot hold.
            let message = format!("this configuration does not fit together: {error}");
            problems.push(Problem::stray(Origin::Default, message, None));
            Err(ConfigErrors::new(problems))
        }
    }
}

/// Says of each conflict where to look: at the first of its options that somebody set.
fn placed(
    conflicts: Vec<Conflict>,
    origins: &Origins,
    at_fault: &HashSet<&'static str>,
) -> Vec<Problem> {
    let counts = |conflict: &Conflict| !conflict.options.iter().any(|o| at_fault.contains(o));
    let place = |conflict: Conflict| Problem {
        origin: conflict
            .options
            .iter()
            .map(|option| origins.of(option))
            .find(|origin| *origin != Origin::Default)
            .unwrap_or_default(),
        option: conflict.options.first().copied(),
        message: conflict.message,
        hint: conflict.hint.map(str::to_owned),
    };
    conflicts.into_iter().filter(counts).map(place).collect()
}
