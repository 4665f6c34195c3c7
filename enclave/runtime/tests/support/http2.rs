//! An HTTP/2 server on the loopback, each of whose streams does what the test says.

use super::server::Server;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use hyper::{Request, Response};
use rustls::ServerConfig;
use std::sync::Arc;

/// One request and the way to answer it.
pub type Exchange = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves every stream with `script`, at most `most` at once.
pub async fn start<F, R>(config: Arc<ServerConfig>, most: u32, script: F) -> Server
where
    F: Fn(Exchange) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let script = Arc::new(script);
    Server::start(config, move |session| {
        let script = script.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            let Ok(mut connection) = builder.max_concurrent_streams(most).handshake(session.stream).await else {
                return;
            };
            while let Some(Ok(exchange)) = connection.accept().await {
                tokio::spawn(script(exchange));
            }
        }
    })
    .await
}

/// The whole body of a request.
pub async fn body(request: Request<RecvStream>) -> Vec<u8> {
    let mut stream = request.into_body();
    let mut all = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        stream.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    all
}

/// Answers 200 with `text`. The client may be gone: that is what some tests are about.
pub fn answer(mut to: SendResponse<Bytes>, text: &'static str) {
    if let Ok(mut stream) = to.send_response(Response::new(()), false) {
        let _ = stream.send_data(Bytes::from_static(text.as_bytes()), true);
    }
}
