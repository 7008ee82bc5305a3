use super::*;

/// A certificate of its own for these names.
pub(super) fn identity(names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("valid")
}
