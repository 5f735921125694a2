//! The SC's port: versions, topics, and the metadata watches that clients live on.

mod admin;
mod kinds;
mod metadata;

use std::io;
use std::sync::Arc;

use datastream_service::tls::MaybeTls;
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::link::versions::{ApiVersionsRequest, ApiVersionsResponse, PlatformVersion};
use fluvio_sc_schema::AdminPublicApiKey as Key;
use fluvio_sc_schema::objects::{
    ObjectApiCreateRequest, ObjectApiDeleteRequest, ObjectApiListRequest, ObjectApiWatchRequest,
};
use tokio::io::split;
use tokio::task::JoinSet;

use crate::invalid::invalid;
use crate::log::Store;
use crate::wire::{self, Out, announce};

/// Serves one connection until the client closes it or says what cannot be understood.
pub(crate) async fn serve(socket: MaybeTls, store: Arc<Store>) -> io::Result<()> {
    let (mut requests, socket) = split(socket);
    let out = Out::new(socket, store.clone());
    // Aborted when the connection ends.
    let mut watches = JoinSet::new();
    while let Some(mut request) = wire::read(&mut requests).await? {
        let (id, version) = (request.correlation_id(), request.version());
        match Key::try_from(request.api_key())? {
            Key::ApiVersion => {
                let _: ApiVersionsRequest = request.body()?;
                out.send(id, &versions(&store), version).await?;
            }
            Key::Create => {
                let request: ObjectApiCreateRequest = request.body()?;
                out.send(id, &admin::create(&store, &request)?, version)
                    .await?;
            }
            Key::Delete => {
                let request: ObjectApiDeleteRequest = request.body()?;
                out.send(id, &admin::delete(&store, &request)?, version)
                    .await?;
            }
            Key::List => {
                let request: ObjectApiListRequest = request.body()?;
                out.send(id, &admin::list(&store, &request, version)?, version)
                    .await?;
            }
            Key::Watch => {
                let request: ObjectApiWatchRequest = request.body()?;
                metadata::open(&mut watches, &store, &out, &request, id, version)?;
            }
            key => return Err(invalid(format!("{key:?} is not served"))),
        }
    }
    Ok(())
}

fn versions(store: &Store) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::None,
        api_keys: vec![
            announce::<ObjectApiCreateRequest>(),
            announce::<ObjectApiDeleteRequest>(),
            announce::<ObjectApiListRequest>(),
            announce::<ObjectApiWatchRequest>(),
        ],
        platform_version: PlatformVersion::from(store.options.platform_version.clone()),
    }
}
