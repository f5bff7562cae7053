//! An enrolment token for a credential, once per identity.

use crate::app::App;
use crate::auth::Tokens;
use phoenix_proto::control::enrolment_server::Enrolment;
use phoenix_proto::control::{EnrolRequest, EnrolResponse};
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct Door {
    pub app: Arc<App>,
    pub tokens: Arc<Tokens>,
}

#[tonic::async_trait]
impl Enrolment for Door {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        if !self.tokens.may_enrol(request.token.trim()) {
            return Err(Status::unauthenticated(
                "the enrolment token is not this server's: copy enrol.token from its data folder",
            ));
        }
        let identity = super::identity(request.identity.as_ref())?;
        let credential = self
            .app
            .enrol(&identity, &request.version)
            .await
            .map_err(super::status)?;
        tracing::info!(agent = %identity, "enrolled");
        Ok(Response::new(EnrolResponse { credential }))
    }
}
