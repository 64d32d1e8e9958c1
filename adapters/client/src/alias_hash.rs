//! Aliases, as their hash (01, "AliasHash").

use phoenix_core::{AliasHash, Fqdn, crypto::sha256};
use unicode_normalization::UnicodeNormalization;

use crate::{error::ClientError, opaque};

/// The hash by which an alias of a domain is found: Argon2id over the casefolded alias. Takes some tenths of a
/// second and 64 MiB, so that lists of hashes are dear to search.
///
/// # Errors
/// [`ClientError::State`] where nothing is left of the alias, or it is longer than 256 bytes.
pub fn alias_hash(alias: &str, domain: &Fqdn) -> Result<AliasHash, ClientError> {
    let folded = fold(alias);
    if folded.is_empty() || folded.len() > MAX_ALIAS {
        return Err(ClientError::State("an alias has 1 to 256 bytes"));
    }
    let salt = sha256(&[b"phoenix alias", domain.as_str().as_bytes()].concat());
    Ok(AliasHash(opaque::hash_alias(folded.as_bytes(), &salt)?))
}

/// NFKC casefolding (Unicode 3.13, D145 and D146): the same for all ways of writing the same.
fn fold(alias: &str) -> String {
    let decomposed: String = alias.nfd().collect();
    let once: String = caseless::default_case_fold_str(&decomposed).nfkc().collect();
    caseless::default_case_fold_str(&once).nfkc().collect()
}

/// Longest folded alias, in bytes: a name, not a text.
const MAX_ALIAS: usize = 256;

#[cfg(test)]
mod tests {
    use phoenix_core::Fqdn;

    use super::{alias_hash, fold};

    #[test]
    fn what_reads_the_same_folds_to_the_same() {
        for (one, other) in
            [("Zoë", "zoe\u{308}"), ("STRASSE", "straße"), ("ﬁne", "FINE"), ("Ａlice", "alice")]
        {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("alice"), fold("bob"));
    }

    #[test]
    fn an_alias_hash_depends_on_the_domain() {
        let domains = ["alpha.test", "beta.test"].map(|domain| domain.parse::<Fqdn>().expect("domain"));

        let hashes = domains.each_ref().map(|domain| alias_hash("Carol", domain).expect("hashed"));

        assert_ne!(hashes[0], hashes[1]);
        assert_eq!(alias_hash("carol", &domains[0]), Ok(hashes[0]));
        assert!(alias_hash("", &domains[0]).is_err());
    }
}
