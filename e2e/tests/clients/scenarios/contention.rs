//! Other clients of the same stream.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::follow::Follow;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::with_every_language;

#[tokio::test]
async fn a_stream_that_somebody_else_has_is_waited_for() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port).await;
        server.publish(1..=50).await;
        let (mut holder, _) = connect_async(server.url(server.port)).await.unwrap();
        let (leave, mut left) = tokio::sync::oneshot::channel();
        let holding = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut left => return holder.close(None).await.unwrap(),
                    frame = holder.next() => {
                        if frame.unwrap().unwrap() == Message::text("1|Z") {
                            holder.send(Message::text("Z")).await.unwrap();
                        }
                    }
                }
            }
        });
        let options = ["--seq-start", "1", "--count", "80"];
        let follow = Follow::start(language, &server.url(proxy.port), &options);
        follow.noted("409").await;
        assert_eq!(follow.count(), 0);
        leave.send(()).unwrap();
        holding.await.unwrap();
        follow.printed(50).await;
        server.publish(51..=80).await;
        let output = follow.succeeded_with(1, 80).await;
        assert!(output.notes.iter().all(|note| note.contains("409")));
    })
    .await;
}
