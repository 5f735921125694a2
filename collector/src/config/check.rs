//! Rules that every configuration has to satisfy, in whichever shape it came.

use std::collections::BTreeMap;

use super::{Plan, Problem, StorePlan, StreamPlan};

/// Names are in file names, and PostgreSQL's identifiers end after 63 bytes.
const LONGEST_NAME: usize = 63;
/// Other tables are named after this one, with up to 8 bytes more.
const LONGEST_TABLE: usize = 48;

/// Checks the plan as a whole.
pub(super) fn check(plan: Plan) -> Result<Plan, Problem> {
    if plan.streams.is_empty() {
        return Err(Problem::new("streams", "there is none: name at least one"));
    }
    let mut names = BTreeMap::new();
    let mut sources = BTreeMap::new();
    for (index, stream) in plan.streams.iter().enumerate() {
        let at = |problem: Problem| problem.within(&format!("streams[{index}]"));
        check_stream(stream).map_err(at)?;
        if let Some(other) = names.insert(stream.name.to_ascii_lowercase(), index) {
            let reason = format!(
                "{:?} is the name of streams[{other}], too: names differ, not only in case",
                stream.name
            );
            return Err(at(Problem::new("name", reason)));
        }
        let Some(source) = stream.source.fixed_stream() else {
            continue;
        };
        if let Some(other) = sources.insert(source, index) {
            let reason = format!(
                "is the stream of streams[{other}], and a subscription has one stream at a time"
            );
            return Err(at(Problem::new("", reason)));
        }
    }
    Ok(plan)
}

fn check_stream(stream: &StreamPlan) -> Result<(), Problem> {
    if !is_name(&stream.name) {
        let reason = format!(
            "{:?} is no name: 1 to {LONGEST_NAME} letters, digits, '-', '_' and '.', beginning with a letter or digit",
            stream.name
        );
        return Err(Problem::new("name", reason));
    }
    let source = &stream.source;
    if let Err(error) = source
        .url()
        .map(|_| ())
        .and_then(|()| source.credentials().map(|_| ()))
    {
        // A file that cannot be read now may be readable later, but is a mistake more often.
        return Err(Problem::new("", error.to_string()));
    }
    if stream.stores.is_empty() {
        let reason = "names no store: give jsonl, sqlite or postgres";
        return Err(Problem::new("store", reason));
    }
    for store in &stream.stores {
        match store {
            StorePlan::Jsonl(_) => {}
            StorePlan::Sqlite(sqlite) => {
                check_table(&sqlite.table, 1).map_err(|p| p.within("store.sqlite"))?;
            }
            StorePlan::Postgres(postgres) => {
                check_table(&postgres.table, 2).map_err(|p| p.within("store.postgres"))?;
                if let Err(reason) = postgres.url.config() {
                    return Err(Problem::new("store.postgres.url", reason));
                }
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A table's name goes into SQL as it is, so it is an identifier that needs no quotes.
fn check_table(table: &str, parts: usize) -> Result<(), Problem> {
    let identifier = |part: &str| {
        (1..=LONGEST_TABLE).contains(&part.len())
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    if table.split('.').count() <= parts && table.split('.').all(identifier) {
        return Ok(());
    }
    let reason = format!(
        "{table:?} is no table: lower-case letters, digits and '_', at most {LONGEST_TABLE}{}",
        if parts > 1 {
            ", perhaps after a SCHEMA."
        } else {
            ""
        }
    );
    Err(Problem::new("table", reason))
}
