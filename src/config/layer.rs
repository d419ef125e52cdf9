//! One source of values: what it sets, where, and what is wrong with it.

use std::collections::HashSet;

use toml::{Table, Value};

use crate::config::{origin::Origin, problem::Problem, rule::Rule};

/// One source of values. What does not fit is not among the entries but among the problems, so
/// that whoever merges layers meets only values that their options admit.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// What is set.
    pub(super) entries: Vec<Entry>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// One option, set.
#[derive(Debug)]
pub(super) struct Entry {
    /// The full name.
    pub(super) option: &'static str,
    /// The value, which the option admits.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) origin: Origin,
}

impl Layer {
    /// Takes `value` in if `rule` admits it, or notes what is wrong with it.
    pub(super) fn admit(
        &mut self,
        (option, rule): (&'static str, &'static Rule),
        value: Value,
        origin: Origin,
    ) {
        match rule.check(&value) {
            Ok(()) => self.entries.push(Entry { option, value, origin }),
            Err(misfit) => {
                self.problems.push(Problem::misfit(option, rule, &value, misfit, origin));
            }
        }
    }

    /// The entries as a table of sections, which figment can merge.
    pub(super) fn table(&self) -> Table {
        let mut sections = Table::new();
        for Entry { option, value, .. } in &self.entries {
            let Some((section, option)) = option.split_once('.') else { continue };
            let section = sections.entry(section).or_insert_with(|| Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(option.to_owned(), value.clone());
            }
        }
        sections
    }
}

/// The options that something is wrong with.
pub(super) fn at_fault(problems: &[Problem]) -> HashSet<&'static str> {
    problems.iter().filter_map(|problem| problem.option).collect()
}
