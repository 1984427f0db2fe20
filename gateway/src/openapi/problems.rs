//! How calls fail: which statuses each can have, as its descriptor tells, and which reasons stand behind a status.

use gyre_model::catalog::{Access, FieldInfo, MethodInfo, catalog};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::refusal::{problem, status_of};
use crate::rest::plan::{BodyPlan, Plan};

/// A status with its problem documents.
struct Failure {
    status: u16,
    /// The name of the response in the document's components.
    name: &'static str,
    description: &'static str,
    /// Reasons that any call may have; services have more of their own.
    reasons: &'static [(&'static str, &'static str)],
    /// The first of `reasons` as an answer says it: kind and text.
    example: (gyre_model::Kind, &'static str),
}

const FAILURES: &[Failure] = &[
    Failure {
        status: 400,
        name: "BadRequest",
        description: "The request is wrong (INVALID_ARGUMENT), or the state of things does not permit it (FAILED_PRECONDITION).",
        reasons: &[
            ("INVALID_FIELD", "fields break their rules; each is in violations"),
            ("INVALID_JSON", "the body is no JSON, or not that of the request; metadata has line and column"),
            ("INVALID_HEADER", "a header has no sense"),
            ("TOO_DEEP", "the body is nested too deep"),
            ("TWO_REQUEST_IDS", "header and body name different request ids"),
            ("UNEXPECTED_BODY", "the call takes no body"),
            ("WRONG_STATE", "the resource is in a state that does not permit the call"),
            ("REFERENCED", "others refer to the resource"),
        ],
        example: (gyre_model::Kind::InvalidArgument, "name: must be given"),
    },
    Failure {
        status: 401,
        name: "Unauthenticated",
        description: "Nobody knows who calls.",
        reasons: &[
            ("TOKEN_EXPIRED", "the token is not valid any more: sign in again"),
            ("INVALID_TOKEN", "the token or API key is none that Gyre gave out"),
            ("NO_TOKEN", "the call needs a token"),
            ("ACCOUNT_DISABLED", "the account is disabled or deleted"),
            ("WRONG_PASSWORD", "the account or its password is wrong"),
        ],
        example: (gyre_model::Kind::Unauthenticated, "the token is not valid any more; sign in again"),
    },
    Failure {
        status: 403,
        name: "Forbidden",
        description: "The caller may not.",
        reasons: &[
            ("ADMIN_ONLY", "the call is for administrators"),
            ("POLICY_DENIED", "a policy denies the call, or none of those that say what is allowed allows it"),
        ],
        example: (gyre_model::Kind::PermissionDenied, "only administrators may call this"),
    },
    Failure {
        status: 404,
        name: "NotFound",
        description: "Something that the request names is not there, or not for the caller to see.",
        reasons: &[("NOT_FOUND", "there is no resource of that UUID")],
        example: (gyre_model::Kind::NotFound, "there is no such resource"),
    },
    Failure {
        status: 408,
        name: "BodyTooSlow",
        description: "The body did not come in time.",
        reasons: &[("BODY_TOO_SLOW", "the next piece of the body did not come in time")],
        example: (gyre_model::Kind::DeadlineExceeded, "the rest of the body did not come in time"),
    },
    Failure {
        status: 409,
        name: "Conflict",
        description: "It exists already (ALREADY_EXISTS), or somebody else was first (ABORTED): read again, and try again.",
        reasons: &[
            ("ALREADY_EXISTS", "there is one of that identity"),
            ("REQUEST_ID_REUSED", "the request id names another wish"),
            ("CONFLICT", "other changes of the same came in between, time and again: try again"),
            ("STALE_GENERATION", "another change came first: the generation is not the present one"),
        ],
        example: (gyre_model::Kind::AlreadyExists, "there is one with that UUID"),
    },
    Failure {
        status: 413,
        name: "TooLarge",
        description: "The body is too large.",
        reasons: &[("BODY_TOO_LARGE", "the body has more bytes than the gateway takes")],
        example: (gyre_model::Kind::InvalidArgument, "the body is larger than 1048576 bytes"),
    },
    Failure {
        status: 415,
        name: "MediaType",
        description: "The body is not of the media type that the call takes.",
        reasons: &[("UNSUPPORTED_MEDIA_TYPE", "the body must be JSON in UTF-8, not compressed")],
        example: (gyre_model::Kind::InvalidArgument, "the body must be JSON, sent with Content-Type: application/json"),
    },
    Failure {
        status: 429,
        name: "Exhausted",
        description: "No room, a quota is used up, or too many calls; Retry-After says when it is worth another try.",
        reasons: &[
            ("OVERLOADED", "too many calls of the account at once"),
            ("TOO_MANY_OPERATIONS", "too many operations of the account are under way"),
            ("LANE_FULL", "too much work waits on the resource"),
            ("TOO_MANY_SIGN_INS", "too many failed sign-ins"),
            ("DATABASE_BUSY", "too many calls at once"),
        ],
        example: (gyre_model::Kind::ResourceExhausted, "too much work waits on the resource; come again"),
    },
    Failure {
        status: 431,
        name: "HeadersTooLarge",
        description: "The headers are too many or too large.",
        reasons: &[("HEADERS_TOO_LARGE", "the headers have more bytes than the gateway takes")],
        example: (gyre_model::Kind::InvalidArgument, "headers are at most 100 and 16384 bytes"),
    },
    Failure {
        status: 499,
        name: "Cancelled",
        description: "It was cancelled, or the caller went away.",
        reasons: &[("CANCELLED", "it was cancelled"), ("BODY_BROKEN_OFF", "the body broke off")],
        example: (gyre_model::Kind::Cancelled, "it was cancelled"),
    },
    Failure {
        status: 500,
        name: "Internal",
        description: "A fault of Gyre's; the log has the cause under the trace.",
        reasons: &[("INTERNAL", "a fault of Gyre's")],
        example: (gyre_model::Kind::Internal, "internal error; the service's log has the cause"),
    },
    Failure {
        status: 501,
        name: "Unimplemented",
        description: "The service that answers does not know the call: it is of another version.",
        reasons: &[("NO_SUCH_CALL", "the service does not know the call")],
        example: (gyre_model::Kind::Unimplemented, "the service does not know this call"),
    },
    Failure {
        status: 503,
        name: "Unavailable",
        description: "Something needed does not answer. The same call with the same request id may be made again.",
        reasons: &[
            ("PEER_UNREACHABLE", "the instance that owns the resource does not answer"),
            ("NO_MEMBER", "no instance of the service is there"),
            ("NO_LEASE", "nobody may begin anything while etcd is away"),
            ("DATABASE_AWAY", "the database does not answer"),
            ("HOST_NOT_CONNECTED", "the host does not answer"),
            ("SHUTTING_DOWN", "the instance stops"),
        ],
        example: (gyre_model::Kind::Unavailable, "the owner of the resource does not answer; try again"),
    },
    Failure {
        status: 504,
        name: "DeadlineExceeded",
        description: "Time ran out. What was begun may go on: make the same call with the same request id to learn of it.",
        reasons: &[("DEADLINE_EXCEEDED", "time ran out")],
        example: (gyre_model::Kind::DeadlineExceeded, "time ran out"),
    },
];

/// The responses of all statuses, by name.
pub fn responses() -> Value {
    let mut all = Map::new();
    for failure in FAILURES {
        let lines: Vec<_> = failure.reasons.iter().map(|(reason, text)| format!("- `{reason}`: {text}")).collect();
        let description =
            format!("{}\n\nReasons, beside those of the services:\n\n{}", failure.description, lines.join("\n"));
        let mut response = json!({
            "description": description,
            "headers": {"traceresponse": {"$ref": "#/components/headers/Traceresponse"}},
            "content": {"application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"}, "example": example(failure)
            }},
            "x-gyre-reasons": failure.reasons.iter().map(|(reason, _)| *reason).collect::<Vec<_>>()
        });
        match failure.status {
            401 => response["headers"]["WWW-Authenticate"] = json!({"$ref": "#/components/headers/WwwAuthenticate"}),
            429 | 503 => response["headers"]["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"}),
            415 => response["headers"]["Accept"] = json!({"$ref": "#/components/headers/Accept"}),
            _ => {}
        }
        all.insert(failure.name.to_owned(), response);
    }
    Value::Object(all)
}

fn example(failure: &Failure) -> Value {
    let (kind, text) = failure.example;
    let reason = failure.reasons.first().map_or("INTERNAL", |(reason, _)| *reason);
    let error = match reason {
        "INVALID_FIELD" => gyre_model::Error::invalid("vm.name", "must be given"),
        reason => gyre_model::Error::new(kind, reason, text),
    };
    let status = StatusCode::from_u16(failure.status).unwrap_or_else(|_| status_of(kind));
    serde_json::from_slice(&problem(&error, status, "4bf92f3577b34da6a3ce929d0e0e4736")).unwrap_or_default()
}

/// The failures of a call: from status to a reference to its response.
pub fn of(plan: &Plan) -> Map<String, Value> {
    let method = plan.method;
    let mut all = Map::new();
    for failure in FAILURES.iter().filter(|failure| can(plan, failure.status)) {
        all.insert(failure.status.to_string(), json!({"$ref": format!("#/components/responses/{}", failure.name)}));
    }
    if method.server_streaming {
        // a client of a stream may go away; nobody is there to be answered
        all.remove("499");
    }
    all
}

fn can(plan: &Plan, status: u16) -> bool {
    let method = plan.method;
    let signs_in = method.access == Access::Public;
    let body = !matches!(plan.body, BodyPlan::None);
    let changes = plan.http != Method::GET;
    match status {
        401 => true,
        403 => !signs_in,
        404 => names_something(method, plan),
        408 | 413 => body,
        415 => body && !matches!(plan.body, BodyPlan::Raw(_)),
        409 | 499 => changes,
        _ => true,
    }
}

/// Whether a request names something that may not be there.
fn names_something(method: &MethodInfo, plan: &Plan) -> bool {
    let refers = |message: &str| {
        catalog().message(message).is_some_and(|info| {
            let names = |field: &FieldInfo| field.name == "uuid" || field.name.ends_with("_uuid");
            info.fields.iter().any(|field| names(field) || !field.rule.refers_to.is_empty())
        })
    };
    let inner = match plan.body {
        BodyPlan::Field { message, .. } => refers(message),
        _ => false,
    };
    !plan.variables.is_empty() || inner || refers(method.input)
}
