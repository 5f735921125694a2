//! Settings of a bench, from environment variables.

/// The value of a variable that is not blank.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A number from 1 on.
pub(crate) fn number(name: &str, default: usize) -> usize {
    variable(name).map_or(default, |text| {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.unwrap_or_else(|| panic!("{name} must be a number from 1 on, not {text:?}"))
    })
}

/// Those whose names are in the variable, in their own order; all of them without it.
pub(crate) fn some_of<T: Copy>(
    variable_name: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Vec<T> {
    let Some(list) = variable(variable_name) else {
        return all.to_vec();
    };
    let names: Vec<_> = list.split(',').map(str::trim).collect();
    for wanted in &names {
        let known: Vec<_> = all.iter().map(|one| name(*one)).collect();
        assert!(
            known.contains(wanted),
            "{variable_name}: {wanted:?} is none of {}",
            known.join(", ")
        );
    }
    let wanted = all.iter().filter(|one| names.contains(&name(**one)));
    wanted.copied().collect()
}
