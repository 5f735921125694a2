//! An issuer of tokens: it signs them, and serves its keys (RFC 7517) and what it says of itself on a port of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use datastream_gateway::TokenSettings;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub const AUDIENCE: &str = "datastream";

#[derive(Default)]
struct Served {
    keys: Vec<Value>,
    is_away: bool,
    reads: usize,
}

pub struct Issuer {
    pub address: SocketAddr,
    served: Arc<Mutex<Served>>,
    _server: AbortOnDropHandle<()>,
}

/// A key of an issuer, with its id.
pub struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Self {
            id: id.to_owned(),
            pair,
        }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": x, "y": y})
    }

    /// Signs whatever it is given.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encoded = |part: &Value| BASE64.encode(part.to_string());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let random = SystemRandom::new();
        let signature = self.pair.sign(&random, message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature))
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(
            &json!({"alg": "ES256", "typ": "JWT", "kid": self.id}),
            claims,
        )
    }
}

/// Seconds since 1970, so many from now on.
pub fn from_now(seconds: i64) -> i64 {
    Timestamp::now().as_second() + seconds
}

impl Issuer {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::<Mutex<Served>>::default();
        let server = tokio::spawn(serve(listener, served.clone()));
        let this = Self {
            address,
            served,
            _server: AbortOnDropHandle::new(server),
        };
        this.set_keys(keys);
        this
    }

    pub fn set_keys(&self, keys: &[&SigningKey]) {
        self.served.lock().unwrap().keys = keys.iter().map(|key| key.jwk()).collect();
    }

    /// Answers nothing but errors from now on, or keys again.
    pub fn set_away(&self, is_away: bool) {
        self.served.lock().unwrap().is_away = is_away;
    }

    /// Number of times that the keys were read.
    pub fn reads(&self) -> usize {
        self.served.lock().unwrap().reads
    }

    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn settings(&self) -> TokenSettings {
        TokenSettings {
            issuer: self.name(),
            audience: AUDIENCE.to_owned(),
            key_set: None,
            authorities: None,
            bearer: None,
            claim: "datastream".to_owned(),
            namespace_claim: None,
            leeway: Duration::ZERO,
        }
    }

    /// Claims that are good for a minute, and open the streams of this grant.
    pub fn claims(&self, grant: Value) -> Value {
        json!({"iss": self.name(), "aud": AUDIENCE, "sub": "tester", "exp": from_now(60), "datastream": grant})
    }
}

async fn serve(listener: TcpListener, served: Arc<Mutex<Served>>) {
    let address = listener.local_addr().unwrap();
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else {
                break;
            };
            head.push(byte);
        }
        let (status, body) = {
            let mut served = served.lock().unwrap();
            if served.is_away {
                ("503 Service Unavailable", json!({}))
            } else if head.starts_with(b"GET /.well-known/openid-configuration ") {
                let keys = format!("http://{address}/keys");
                let issuer = format!("http://{address}");
                ("200 OK", json!({"issuer": issuer, "jwks_uri": keys}))
            } else if !String::from_utf8_lossy(&head).contains("application/jwk-set+json") {
                // As API servers of Kubernetes do.
                ("406 Not Acceptable", json!({}))
            } else {
                served.reads += 1;
                ("200 OK", json!({"keys": served.keys}))
            }
        };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = socket.write_all(answer.as_bytes()).await;
    }
}
