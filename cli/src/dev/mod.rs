//! `datastream dev`: broker, operator logic and gateway in one process, on a folder of manifests.

mod folder;
mod ingest;
mod schema;
mod topic;
mod watch;
mod yaml;
