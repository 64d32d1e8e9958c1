//! Registration at the AS (04), with what its policy asks for (05, "Registration policy").

use phoenix_core::{
    UserId,
    api::{
        Empty,
        auth::{
            ChallengeReply, Demand, MAX_DEMANDS, RegisterFinish, RegisterFinishRequest, RegisterInit,
            RegisterInitRequest, RegistrationChallenge, RegistrationProof,
        },
    },
    wire::{List, Opaque},
};

use crate::{
    candidate::Candidate,
    error::{ClientError, Missing},
    opaque::Registration,
    ports::ClientPorts,
    session::Session,
    settings::Settings,
    work,
};

/// Registers a user with its first client.
pub(crate) async fn register(settings: &Settings, ports: ClientPorts) -> Result<Session, ClientError> {
    let mut candidate = Candidate::new(settings, ports)?;
    let authority = candidate.authority().await?;
    let challenge: ChallengeReply = candidate.call::<RegistrationChallenge>(None, &Empty {}).await?;
    let user = candidate.user().clone();
    let proofs = prove(settings, &user, &challenge).await?;
    let password = settings.password.as_bytes();
    let (opaque, request) = Registration::start(password, candidate.entropy())?;
    let init = RegisterInitRequest { user: user.clone(), opaque: request, proofs };
    let init = candidate.call::<RegisterInit>(None, &init).await?;
    let record = opaque.finish(password, &init.opaque, &user, settings.stretch)?;
    let request = RegisterFinishRequest {
        registration: init.registration,
        csr: candidate.csr(&authority)?,
        queue_key: candidate.queue_key().clone(),
        record,
    };
    let auth = candidate.auth();
    let credential = candidate.call::<RegisterFinish>(Some(&auth), &request).await?;
    candidate.finish(&authority, &request.csr, credential)
}

/// Brings what the first alternative asks for that the settings can satisfy.
async fn prove(
    settings: &Settings,
    user: &UserId,
    challenge: &ChallengeReply,
) -> Result<List<RegistrationProof, MAX_DEMANDS>, ClientError> {
    let lacks = |demands: &List<Demand, MAX_DEMANDS>| -> Vec<Missing> {
        demands.iter().filter_map(|demand| missing(settings, demand)).collect()
    };
    let Some(demands) = challenge.alternatives.iter().find(|demands| lacks(demands).is_empty()) else {
        let least = challenge.alternatives.iter().map(lacks).min_by_key(Vec::len);
        return Err(ClientError::Demanded(least.unwrap_or_default()));
    };
    let mut proofs = Vec::new();
    for demand in demands {
        proofs.extend(satisfy(settings, user, demand).await?);
    }
    Ok(List::new(proofs)?)
}

/// What a demand asks for and the settings do not bring, if so.
fn missing(settings: &Settings, demand: &Demand) -> Option<Missing> {
    match demand {
        Demand::Invitation => settings.invitation.is_none().then_some(Missing::Invitation),
        Demand::Work(challenge) => {
            (challenge.bits > settings.work_bits).then_some(Missing::Work { bits: challenge.bits })
        }
        Demand::External(hint) => {
            settings.external.is_none().then(|| Missing::External { hint: hint.to_vec().into() })
        }
    }
}

async fn satisfy(
    settings: &Settings,
    user: &UserId,
    demand: &Demand,
) -> Result<Option<RegistrationProof>, ClientError> {
    Ok(match demand {
        Demand::Invitation => settings.invitation.clone().map(RegistrationProof::Invitation),
        Demand::Work(challenge) => {
            Some(RegistrationProof::Work(work::solve(challenge, user, settings.work_bits).await?))
        }
        Demand::External(_) => {
            let shown = settings.external.clone().map(Opaque::new).transpose()?;
            shown.map(RegistrationProof::External)
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use phoenix_core::{
        UserId, Uuid,
        api::auth::{ChallengeReply, Demand, InvitationCode, RegistrationProof, WorkChallenge},
        wire::{List, Opaque, Secret},
    };

    use super::prove;
    use crate::{
        error::{ClientError, Missing},
        settings::Settings,
    };

    #[test]
    fn the_first_alternative_that_can_be_satisfied_is() {
        let work = |bits| Demand::Work(WorkChallenge { salt: [1; 32], bits, expires: 0 });
        let asked = challenge(&[&[Demand::Invitation], &[work(4), external()], &[work(4)]]);
        let mut settings = settings();

        let proofs = block_on(prove(&settings, &user(), &asked)).expect("satisfied");
        assert!(matches!(&proofs[..], [RegistrationProof::Work(proof)] if proof.holds(&user())));

        settings.external = Some("seen".into());
        let proofs = block_on(prove(&settings, &user(), &asked)).expect("satisfied");
        assert!(matches!(&proofs[..], [RegistrationProof::Work(_), RegistrationProof::External(_)]));

        settings.invitation = Some(InvitationCode(Secret::new([1; 16])));
        let proofs = block_on(prove(&settings, &user(), &asked)).expect("satisfied");
        assert!(matches!(&proofs[..], [RegistrationProof::Invitation(_)]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let hard = Demand::Work(WorkChallenge { salt: [1; 32], bits: 30, expires: 0 });
        let missing = |asked: &ChallengeReply| match block_on(prove(&settings(), &user(), asked)) {
            Err(ClientError::Demanded(missing)) => missing,
            other => panic!("{other:?}"),
        };

        assert_eq!(missing(&challenge(&[])), []);
        let both = [Demand::Invitation, hard.clone()];
        let hard = [hard];
        assert_eq!(missing(&challenge(&[&both, &hard])), [Missing::Work { bits: 30 }]);
        assert_eq!(missing(&challenge(&[&[external()]])), [Missing::External { hint: "captcha".into() }]);
        assert_eq!(missing(&challenge(&[&[Demand::Invitation], &hard])), [Missing::Invitation]);
    }

    fn challenge(alternatives: &[&[Demand]]) -> ChallengeReply {
        let lists = alternatives.iter().map(|demands| List::new(demands.to_vec()).expect("few"));
        ChallengeReply { alternatives: List::new(lists.collect()).expect("few") }
    }

    fn external() -> Demand {
        Demand::External(Opaque::new("captcha").expect("short"))
    }

    fn settings() -> Settings {
        Settings { work_bits: 8, ..Settings::new("alpha.test".parse().expect("domain"), "password") }
    }

    fn user() -> UserId {
        UserId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().expect("domain") }
    }
}
