use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Identity;

/// Which certificate a client gets, by the name it asks for (SNI, RFC 6066
/// section 3). One that names none, or one that nobody has, gets the first.
#[derive(Debug)]
pub(super) struct ByName {
    /// In the order in which they were given.
    keys: Vec<Arc<CertifiedKey>>,
    /// Places in `keys`; a name may have an ECDSA and an RSA certificate.
    places: FxHashMap<String, Vec<usize>>,
}

impl ByName {
    pub(super) fn new(identities: &[Identity]) -> Self {
        let mut places = FxHashMap::<String, Vec<usize>>::default();
        for (place, identity) in identities.iter().enumerate() {
            for name in identity.names() {
                places.entry(name.clone()).or_default().push(place);
            }
        }
        let keys = identities.iter().map(|it| Arc::clone(&it.key)).collect();
        Self { keys, places }
    }

    /// The name itself, then the wildcard over its first label.
    fn places_of(&self, name: &str) -> Option<&[usize]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let found = self.places.get(&name).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.places.get(&format!("*.{rest}"))
        });
        found.map(Vec::as_slice)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let named = name.and_then(|name| self.places_of(name));
        let of_name = named.unwrap_or_default();
        let of_name = of_name.iter().filter_map(|&place| self.keys.get(place));
        // A client that can't use the first one of all is given none of the others:
        // their names are not those it asks for.
        let mut candidates = of_name.chain(self.keys.first());
        candidates.find(can_sign).map(Arc::clone)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::identity;
    use super::*;

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

    #[test]
    fn the_name_decides_then_its_wildcard_then_the_first() {
        let of = |names: &[&str]| identity(names);
        let all = [
            of(&["first.example"]),
            of(&["shop.example", "*.shop.example"]),
            of(&["deep.shop.example"]),
        ];
        let by_name = ByName::new(&all);
        for (asked, place) in [
            (Some("shop.example"), 1),
            (Some("SHOP.example."), 1),
            (Some("a.shop.example"), 1),
            (Some("deep.shop.example"), 2),
            // A wildcard is for one label.
            (Some("a.b.shop.example"), 0),
            (Some("elsewhere.example"), 0),
            (Some("example"), 0),
            (None, 0),
        ] {
            let chosen = by_name.choose(asked, ECDSA).expect("a certificate");
            assert!(Arc::ptr_eq(&chosen, &all[place].key), "{asked:?}");
        }
        let none = by_name.choose(None, &[SignatureScheme::RSA_PSS_SHA256]);
        assert!(none.is_none());
    }
}
