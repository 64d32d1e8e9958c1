//! RFC 9497 appendix A.1.2: ristretto255-SHA512 in VOPRF mode.

use voprf_ng::{EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer};

use crate::{crypto::Chance, token::TokenSecretKey, wire::Secret};

const SECRET: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";
const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const BLINDED: &str = "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945";
const EVALUATED: &str = "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e";
const PROOF: &str = "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
                     6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d";
const OUTPUT: &str = "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
                      a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c";

#[test]
fn the_seed_of_the_rfc_derives_its_key() {
    let server = VoprfServer::<Ristretto255>::new_from_seed(&[0xa3; 32], b"test key").unwrap();

    let key = TokenSecretKey::from_secret_bytes(&secret()).unwrap();

    assert_eq!(server.serialize()[..32], unhex(SECRET));
    assert_eq!(key.public_key().as_slice(), unhex(PUBLIC));
    assert_eq!(key.to_secret_bytes(), secret());
}

#[test]
fn the_elements_of_the_rfc_evaluate_to_its_elements_and_output() {
    let key = TokenSecretKey::from_secret_bytes(&secret()).unwrap();
    let blinded: [u8; 32] = unhex(BLINDED).try_into().unwrap();

    let reply = key.evaluate(&[blinded], &mut Chance::from_seed([1; 32])).unwrap();

    assert_eq!(reply.evaluated[0].as_slice(), unhex(EVALUATED));
    // Both the vector's proof and our own convince a client, and the output is the vector's.
    let client = VoprfClient::<Ristretto255>::deserialize(&[unhex(BLIND), unhex(BLINDED)].concat()).unwrap();
    let element = EvaluationElement::deserialize(&reply.evaluated[0]).unwrap();
    let public = Ristretto255::deserialize_elem(&unhex(PUBLIC)).unwrap();
    for proof in [unhex(PROOF), reply.proof.to_vec()] {
        let proof = Proof::deserialize(&proof).unwrap();
        let output = client.finalize(&[0], &element, &proof, public).unwrap();
        assert_eq!(output.as_slice(), unhex(OUTPUT));
    }
}

fn secret() -> Secret<32> {
    <[u8; 32]>::try_from(unhex(SECRET)).unwrap().into()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
