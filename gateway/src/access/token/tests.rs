use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use datastream_routing::KeyHash;
use serde_json::json;

use super::*;

fn settings() -> TokenSettings {
    TokenSettings {
        issuer: "https://id.example.com".to_owned(),
        audience: "datastream".to_owned(),
        key_set: None,
        authorities: None,
        bearer: None,
        claim: "datastream".to_owned(),
        namespace_claim: None,
        leeway: Duration::from_mins(1),
    }
}

/// A token of each algorithm, made with Python's `cryptography`, and its key.
#[derive(serde::Deserialize)]
struct Vector {
    algorithm: String,
    key: Value,
    token: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("tests/vectors.json")).unwrap()
}

/// Tokens signed with these keys, and none else.
fn tokens(keys: &[Value]) -> Tokens {
    let keys = KeySet::with(&settings(), &json!({"keys": keys}));
    Tokens::new(settings(), Arc::new(keys))
}

/// Checks a token by the keys that are known.
fn check(tokens: &Tokens, token: &str) -> Result<Token, String> {
    let jwt = Jwt::parse(token).ok_or("no token")?;
    let header = decode_header(token).map_err(|e| e.to_string())?;
    match tokens.keys.find(&header) {
        Lookup::Found(key) => tokens
            .check(&jwt, &header, &key)
            .map_err(|error| format!("{error:?}")),
        Lookup::Missing => Err("missing".to_owned()),
        Lookup::Refused(reason) => Err(reason.to_owned()),
    }
}

fn route(name: &str, labels: &[(&str, &str)]) -> Route {
    let labels: BTreeMap<_, _> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Route {
        labels: Some(Box::new(labels)),
        ..Route::new(SubscriptionId::new("team", name), KeyHash::of("key"))
    }
}

#[test]
fn tokens_of_every_algorithm_are_verified_with_their_own_key() {
    let all = vectors();
    assert_eq!(all.len(), 9);
    for vector in &all {
        let tokens = tokens(std::slice::from_ref(&vector.key));
        let token = check(&tokens, &vector.token).unwrap();
        assert!(token.opens(&route("leds", &[])), "{}", vector.algorithm);
        assert_eq!(token.subject, "vector");
        let (message, signature) = vector.token.rsplit_once('.').unwrap();
        let mut bytes = BASE64.decode(signature).unwrap();
        bytes[10] ^= 1;
        let broken = format!("{message}.{}", BASE64.encode(&bytes));
        let error = check(&tokens, &broken).unwrap_err();
        assert!(error.contains("signature"), "{error}");
    }
}

/// A token whose header says otherwise: another algorithm, none, or one with a secret, which would be the public key.
#[test]
fn a_token_with_another_algorithm_than_its_key_has_is_refused() {
    for vector in vectors() {
        let tokens = tokens(std::slice::from_ref(&vector.key));
        let (_, rest) = vector.token.split_once('.').unwrap();
        for other in [
            "none", "None", "HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA",
        ] {
            if other == vector.algorithm {
                continue;
            }
            let header = json!({"alg": other, "kid": vector.algorithm}).to_string();
            let forged = format!("{}.{rest}", BASE64.encode(header));
            assert!(check(&tokens, &forged).is_err(), "{other}");
        }
    }
}

#[test]
fn a_key_that_is_for_one_algorithm_or_not_for_signatures_verifies_no_other() {
    let vectors = vectors();
    let with = |field: &str, value: Value| {
        let mut key = vectors[0].key.clone();
        key[field] = value;
        check(&tokens(&[key]), &vectors[0].token).map(drop)
    };
    assert_eq!(vectors[0].algorithm, "RS256");
    with("alg", json!("RS256")).unwrap();
    with("use", json!("sig")).unwrap();
    with("key_ops", json!(["verify"])).unwrap();
    assert!(with("alg", json!("RS512")).is_err());
    assert!(with("alg", json!("RSA-OAEP")).is_err());
    assert!(with("use", json!("enc")).is_err());
    assert!(with("key_ops", json!(["encrypt"])).is_err());
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "RS256"});
    assert!(check(&tokens(&[secret]), &vectors[0].token).is_err());
}

#[test]
fn a_set_with_keys_that_nobody_understands_has_the_others() {
    let vectors = vectors();
    let odd = [
        json!(null),
        json!({"kty": "new"}),
        json!({"kty": "RSA"}),
        json!([]),
    ];
    let keys: Vec<_> = odd.into_iter().chain([vectors[6].key.clone()]).collect();
    check(&tokens(&keys), &vectors[6].token).unwrap();
}

#[test]
fn a_key_need_not_be_named_where_there_is_only_one() {
    let vectors = vectors();
    let ids = vectors.iter().map(|v| v.key.clone());
    let tokens_of_all = tokens(&ids.collect::<Vec<_>>());
    let mut header: Header = decode_header(&vectors[0].token).unwrap();
    header.kid = None;
    assert!(matches!(
        tokens_of_all.keys.find(&header),
        Lookup::Refused(_)
    ));
    let tokens = tokens(std::slice::from_ref(&vectors[0].key));
    assert!(matches!(tokens.keys.find(&header), Lookup::Found(_)));
}

fn granted(claim: Value) -> Result<Token, String> {
    let grants = grants(&json!({"datastream": claim}), &settings())?;
    Ok(Token {
        subject: String::new(),
        end: 0,
        grants,
    })
}

#[test]
fn a_token_opens_what_its_grants_name_and_nothing_else() {
    let (leds, fans) = (
        route("leds", &[("app", "lights"), ("tier", "a")]),
        route("fans", &[("app", "air")]),
    );
    for (claim, opens) in [
        (json!({"namespace": "team"}), [true, true]),
        (json!({"namespace": "other"}), [false, false]),
        (json!({"namespace": "team", "name": "leds"}), [true, false]),
        (
            json!([{"namespace": "other"}, {"namespace": "team", "name": "fans"}]),
            [false, true],
        ),
        (json!([]), [false, false]),
        (
            json!({"namespace": "team", "selector": {"matchLabels": {"app": "lights"}}}),
            [true, false],
        ),
        (json!({"namespace": "team", "selector": {}}), [true, true]),
        (
            json!({"namespace": "team", "name": "fans", "selector": {"matchLabels": {"app": "lights"}}}),
            [false, false],
        ),
        (
            json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["air", "x"]}]}}),
            [false, true],
        ),
        (
            json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["air"]}]}}),
            [true, false],
        ),
        (
            json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}),
            [true, false],
        ),
        (
            json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}),
            [false, true],
        ),
    ] {
        let token = granted(claim.clone()).unwrap();
        assert_eq!([token.opens(&leds), token.opens(&fans)], opens, "{claim}");
    }
}

#[test]
fn a_claim_that_is_not_understood_is_refused_and_never_opens_more() {
    for claim in [
        json!("team"),
        json!({}),
        json!({"name": "leds"}),
        json!({"namespace": "team", "names": ["leds"]}),
        json!({"namespace": "team", "selector": {"matchlabels": {"app": "lights"}}}),
        json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
        json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}}),
        json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
        json!({"namespace": "team", "selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}),
        json!(vec![json!({"namespace": "team"}); 257]),
    ] {
        let error = granted(claim.clone()).unwrap_err();
        assert!(
            error.starts_with("its claim datastream"),
            "{claim}: {error}"
        );
    }
}

#[test]
fn a_namespace_claim_opens_the_subscriptions_of_that_namespace() {
    let settings = TokenSettings {
        namespace_claim: Some(vec!["kubernetes.io".to_owned(), "namespace".to_owned()]),
        ..settings()
    };
    let opened = |claims: Value| {
        let grants = grants(&claims, &settings).unwrap();
        grants.iter().any(|grant| grant.is_of(&route("leds", &[])))
    };
    assert!(opened(json!({"kubernetes.io": {"namespace": "team"}})));
    assert!(!opened(json!({"kubernetes.io": {"namespace": "other"}})));
    assert!(!opened(json!({"kubernetes.io": {"namespace": ["team"]}})));
    assert!(!opened(json!({"kubernetes.io": {}})));
    assert!(!opened(json!({})));
}

#[test]
fn what_has_not_the_form_of_a_token_is_none() {
    assert!(Jwt::parse("e30.e30.c2ln").is_some());
    let long = format!("e30.e30.{}", "a".repeat(MAX_TOKEN));
    for bad in [
        "", "a", "a.b", "a.b.c.d", "a..c", "a.b.c=", "a.b.c d", &long,
    ] {
        assert!(Jwt::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(format!("{:?}", Jwt::parse("e30.e30.c2ln")), "Some(Jwt(…))");
}
