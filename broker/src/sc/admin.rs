//! Create, delete and list. The messages are the real server's, as observed.

use std::io;

use fluvio_controlplane_metadata::core::Spec;
use fluvio_controlplane_metadata::partition::PartitionSpec;
use fluvio_controlplane_metadata::smartmodule::SmartModuleSpec;
use fluvio_controlplane_metadata::spu::{CustomSpuSpec, SpuSpec};
use fluvio_controlplane_metadata::store::KeyFilter;
use fluvio_controlplane_metadata::tableformat::TableFormatSpec;
use fluvio_controlplane_metadata::topic::TopicSpec;
use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::objects::{
    CreateRequest, DeleteRequest, ListRequest, ListResponse, ObjectApiCreateRequest,
    ObjectApiDeleteRequest, ObjectApiListRequest, ObjectApiListResponse,
};
use fluvio_sc_schema::topic::validate::valid_topic_name;
use fluvio_sc_schema::{Status, TryEncodableFrom};

use super::kinds::Kind;
use crate::invalid::invalid;
use crate::log::{Store, UNIT_ID};

/// Makes a topic; SPUs cannot be made, there is one.
pub(super) fn create(store: &Store, request: &ObjectApiCreateRequest) -> io::Result<Status> {
    let topic: Option<CreateRequest<TopicSpec>> = request.downcast().map_err(invalid)?;
    if let Some(topic) = topic {
        let (common, spec) = topic.parts();
        let result = if !valid_topic_name(&common.name) {
            Err(ErrorCode::TopicInvalidName)
        } else if store.exists(&common.name) {
            Err(ErrorCode::TopicAlreadyExists)
        } else if common.dry_run {
            Ok(())
        } else {
            store.create(&common.name, spec)
        };
        return Ok(status(common.name, result));
    }
    let unit: Option<CreateRequest<CustomSpuSpec>> = request.downcast().map_err(invalid)?;
    let name = unit
        .ok_or_else(|| invalid("create of an unknown kind"))?
        .parts()
        .0
        .name;
    Ok(status(name, Err(ErrorCode::SpuAlreadyExists)))
}

/// Deletes a topic.
pub(super) fn delete(store: &Store, request: &ObjectApiDeleteRequest) -> io::Result<Status> {
    let topic: Option<DeleteRequest<TopicSpec>> = request.downcast().map_err(invalid)?;
    let topic = topic.ok_or_else(|| invalid("only topics can be deleted"))?;
    let (force, name) = (topic.is_force(), topic.key());
    let system = store
        .topics(|(n, topic)| *n == name && topic.spec.is_system())
        .contains(&true);
    let result = if system && !force {
        Err(ErrorCode::SystemSpecDeletionAttempt {
            kind: "topic".to_owned(),
            name: name.clone(),
        })
    } else {
        store.delete(&name)
    };
    Ok(status(name, result))
}

/// Lists the objects of a kind.
pub(super) fn list(
    store: &Store,
    request: &ObjectApiListRequest,
    version: i16,
) -> io::Result<ObjectApiListResponse> {
    // The kind is known only by trying: a request of another kind gives none.
    macro_rules! try_kinds {
        ($($kind:ty),*) => {
            $(if let Ok(Some(list)) = TryEncodableFrom::<ListRequest<$kind>>::downcast(request) {
                return list_kind(store, &list, version);
            })*
        };
    }
    try_kinds!(
        TopicSpec,
        PartitionSpec,
        SpuSpec,
        CustomSpuSpec,
        SmartModuleSpec,
        TableFormatSpec
    );
    Err(invalid("list of an unknown kind"))
}

fn list_kind<K: Kind>(
    store: &Store,
    request: &ListRequest<K>,
    version: i16,
) -> io::Result<ObjectApiListResponse>
where
    K::Status:
        fluvio_protocol::Encoder + fluvio_protocol::Decoder + std::fmt::Debug + Clone + Send + Sync,
    ObjectApiListResponse: TryEncodableFrom<ListResponse<K>>,
{
    let mut objects = K::all(store, request.system);
    // The real server ignores the filter for partitions.
    if K::LABEL != PartitionSpec::LABEL {
        objects.retain(|object| request.name_filters.filter(object.name.as_str()));
    }
    ObjectApiListResponse::try_encode_from(ListResponse::new(objects), version).map_err(invalid)
}

fn status(name: String, result: Result<(), ErrorCode>) -> Status {
    let Err(code) = result else {
        return Status::new_ok(name);
    };
    let message = match &code {
        ErrorCode::TopicAlreadyExists => Some(format!("Topic '{name}' already exists")),
        ErrorCode::TopicInvalidName => Some(format!(
            "Invalid topic name: '{name}'. Contain only lowercase alphanumeric characters or '-'"
        )),
        ErrorCode::TopicNotFound => Some("not found".to_owned()),
        ErrorCode::SpuAlreadyExists => Some(format!("spu '{name}({UNIT_ID})' already defined")),
        _ => None,
    };
    Status::new(name, code, message)
}
