//! The documents that a gateway serves.

use datastream_contracts::documents::{all, openapi};
use hyper::Version;

use crate::common::TestGateway;
use crate::common::topic::Topic;

#[tokio::test]
async fn every_document_is_served_for_pages_from_everywhere() {
    let gateway = TestGateway::start(Topic::new(1), vec![]).await;
    let documents = all();
    let names = &openapi().json["paths"]["/schemas/{name}"]["get"]["parameters"][0]["schema"];
    assert_eq!(names["enum"].as_array().unwrap().len(), documents.len() - 2);
    for document in documents {
        let path = document.path.as_str();
        let is_schema = !["asyncapi.json", "openapi.json"].contains(&path);
        let (target, media_type) = if is_schema {
            (format!("/schemas/{path}"), "application/schema+json")
        } else {
            (format!("/{path}"), "application/json")
        };
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut connection = gateway.http(version).await;
            let answer = connection.get(&target, &[]).await;
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.header("content-type"), media_type, "{target}");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.rest().await, document.text(), "{target}");
        }
    }
    gateway.stop().await;
}
