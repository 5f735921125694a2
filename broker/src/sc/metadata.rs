//! Metadata watches: first everything, then what changes, all on the correlation id of the request.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use fluvio_controlplane_metadata::message::Message;
use fluvio_controlplane_metadata::partition::PartitionSpec;
use fluvio_controlplane_metadata::smartmodule::SmartModuleSpec;
use fluvio_controlplane_metadata::spu::SpuSpec;
use fluvio_controlplane_metadata::topic::TopicSpec;
use fluvio_protocol::{Decoder, Encoder};
use fluvio_sc_schema::TryEncodableFrom;
use fluvio_sc_schema::objects::{
    Metadata, MetadataUpdate, ObjectApiWatchRequest, ObjectApiWatchResponse, WatchRequest,
    WatchResponse,
};
use tokio::task::JoinSet;

use super::kinds::Kind;
use crate::invalid::invalid;
use crate::log::Store;
use crate::wire::Out;

/// Starts the watch that the request asks for.
pub(super) fn open(
    watches: &mut JoinSet<io::Result<()>>,
    store: &Arc<Store>,
    out: &Out,
    request: &ObjectApiWatchRequest,
    id: i32,
    version: i16,
) -> io::Result<()> {
    macro_rules! try_kinds {
        ($($kind:ty),*) => {
            $(if let Ok(Some(_)) = TryEncodableFrom::<WatchRequest<$kind>>::downcast(request) {
                watches.spawn(watch::<$kind>(store.clone(), out.clone(), id, version));
                return Ok(());
            })*
        };
    }
    try_kinds!(SpuSpec, PartitionSpec, TopicSpec, SmartModuleSpec);
    Err(invalid("watch of an unknown kind"))
}

/// The objects that the client knows: each as it was encoded, to see changes.
type Known<K> = BTreeMap<String, (Vec<u8>, Metadata<K>)>;

async fn watch<K: Kind>(store: Arc<Store>, out: Out, id: i32, version: i16) -> io::Result<()>
where
    K::Status: Encoder + Decoder + Debug + Clone + Send + Sync,
    ObjectApiWatchResponse: TryEncodableFrom<WatchResponse<K>>,
{
    let mut epoch = store.watch_metadata();
    let mut known: Option<Known<K>> = None;
    loop {
        let number = *epoch.borrow_and_update();
        let mut now = Known::new();
        for object in K::all(&store, true) {
            let mut bytes = vec![];
            object.encode(&mut bytes, version)?;
            now.insert(object.name.clone(), (bytes, object));
        }
        let update = match &known {
            None => Some(MetadataUpdate::with_all(
                number,
                now.values().map(|(_, o)| o.clone()).collect(),
            )),
            Some(before) => {
                let changes = changes(before, &now);
                (!changes.is_empty()).then(|| MetadataUpdate::with_changes(number, changes))
            }
        };
        if let Some(update) = update {
            let response =
                ObjectApiWatchResponse::try_encode_from(WatchResponse::new(update), version);
            out.send(id, &response.map_err(invalid)?, version).await?;
        }
        known = Some(now);
        if epoch.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn changes<K: Kind>(before: &Known<K>, now: &Known<K>) -> Vec<Message<Metadata<K>>>
where
    K::Status: Encoder + Decoder + Debug + Clone + Send + Sync,
{
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    let gone = gone.map(|(_, (_, object))| Message::delete(object.clone()));
    let changed = now
        .iter()
        .filter(|(name, (bytes, _))| before.get(*name).is_none_or(|old| old.0 != *bytes));
    gone.chain(changed.map(|(_, (_, object))| Message::update(object.clone())))
        .collect()
}
