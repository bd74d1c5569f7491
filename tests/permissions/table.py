"""Who gets what from every address: statuses by role. A route without a row fails the test.

302 is the way to the log-in (or back to the page after a form), 401 asks for a token, 404 hides,
403 forbids, 405 is no method of this address. Requests of one line carry the same body.
Add a row by hand, thinking of each role; the failing test prints what it found.
"""

from __future__ import annotations

# fmt: off
#                anonymous, rival, member, captain, organiser, staff (of the platform, not of it)
TABLE = """
GET                                                                      200 200 200 200 200 200
POST                                                                     405 405 405 405 405 405
GET    account/                                                          302 200 200 200 200 200
POST   account/                                                          302 422 422 422 422 422
GET    account/data/                                                     302 200 200 200 200 200
POST   account/data/                                                     405 405 405 405 405 405
GET    account/data/delete/                                              405 405 405 405 405 405
POST   account/data/delete/                                              302 422 422 422 422 422
GET    account/data/export/                                              302 200 200 200 200 200
POST   account/data/export/                                              405 405 405 405 405 405
GET    account/tokens/                                                   302 200 200 200 200 200
POST   account/tokens/                                                   302 302 302 302 302 302
GET    account/tokens/<int:pk>/revoke/                                   405 405 405 405 405 405
POST   account/tokens/<int:pk>/revoke/                                   302 404 404 302 404 404
GET    account/webhooks/                                                 302 200 200 200 200 200
POST   account/webhooks/                                                 302 422 422 422 422 422
GET    account/webhooks/<int:pk>/                                        302 404 404 200 404 404
POST   account/webhooks/<int:pk>/                                        405 405 405 405 405 405
GET    account/webhooks/<int:pk>/delete/                                 405 405 405 405 405 405
POST   account/webhooks/<int:pk>/delete/                                 302 404 404 302 404 404
GET    account/webhooks/<int:pk>/ping/                                   405 405 405 405 405 405
POST   account/webhooks/<int:pk>/ping/                                   302 404 404 302 404 404
GET    api/v1/challenges                                                 200 200 200 200 200 200
GET    api/v1/challenges/<slug>                                          200 200 200 200 200 200
GET    api/v1/challenges/<slug>/announcements                            200 200 200 200 200 200
GET    api/v1/challenges/<slug>/downloads                                401 200 200 200 200 403
GET    api/v1/challenges/<slug>/phases/<phase>                           200 200 200 200 200 200
GET    api/v1/challenges/<slug>/phases/<phase>/labels                    200 200 200 200 200 200
GET    api/v1/challenges/<slug>/phases/<phase>/leaderboard               200 200 200 200 200 200
GET    api/v1/challenges/<slug>/phases/<phase>/patches                   200 200 200 200 200 200
GET    api/v1/challenges/<slug>/phases/<phase>/quota                     401 200 200 200 200 200
GET    api/v1/challenges/<slug>/phases/<phase>/task                      200 200 200 200 200 200
GET    api/v1/challenges/<slug>/registration                             401 200 200 200 403 403
POST   api/v1/challenges/<slug>/registration                             401 200 200 200 200 200
GET    api/v1/challenges/<slug>/team                                     401 200 200 200 403 403
PATCH  api/v1/challenges/<slug>/team                                     401 200 403 200 403 403
POST   api/v1/challenges/<slug>/team                                     401 200 409 409 403 403
POST   api/v1/challenges/<slug>/team/captain                             401 404 403 200 403 403
POST   api/v1/challenges/<slug>/team/invitations                         401 200 403 200 403 403
DELETE api/v1/challenges/<slug>/team/invitations/<invitation_id>         401 404 403 200 403 403
POST   api/v1/challenges/<slug>/team/leave                               401 200 409 409 403 403
DELETE api/v1/challenges/<slug>/team/members/<username>                  401 404 403 409 403 403
POST   api/v1/challenges/<slug>/team/merge-requests                      401 422 403 200 403 403
POST   api/v1/challenges/<slug>/team/merge-requests/<request_id>         401 404 403 200 403 403
GET    api/v1/challenges/<slug>/teams/<team_id>                          200 200 200 200 200 200
GET    api/v1/docs                                                       200 200 200 200 200 200
POST   api/v1/docs                                                       405 405 405 405 405 405
POST   api/v1/invitations/accept                                         401 200 409 409 403 403
GET    api/v1/me                                                         401 200 200 200 200 200
GET    api/v1/organise/challenges/<slug>/phases/<phase>/export           401 403 403 403 200 403
POST   api/v1/organise/challenges/<slug>/phases/<phase>/rescore          401 403 403 403 200 403
GET    api/v1/organise/challenges/<slug>/registrations                   401 403 403 403 200 403
POST   api/v1/organise/challenges/<slug>/registrations/<registration_id> 401 403 403 403 200 403
GET    api/v1/organise/challenges/<slug>/submissions                     401 403 403 403 200 403
POST   api/v1/organise/submissions/<submission_id>/disqualify            401 404 403 403 200 404
POST   api/v1/organise/submissions/<submission_id>/reinstate             401 404 403 403 409 404
POST   api/v1/organise/submissions/<submission_id>/rescore               401 404 403 403 200 404
GET    api/v1/problems                                                   200 200 200 200 200 200
GET    api/v1/receipts/key                                               200 200 200 200 200 200
GET    api/v1/submissions                                                401 200 200 200 200 200
POST   api/v1/submissions                                                401 404 404 410 404 404
GET    api/v1/submissions/<submission_id>                                401 404 200 200 200 404
DELETE api/v1/submissions/<submission_id>/archive                        401 404 409 409 409 404
GET    api/v1/submissions/<submission_id>/archive                        401 404 200 200 200 404
POST   api/v1/submissions/<submission_id>/cancel                         401 404 409 409 409 404
POST   api/v1/submissions/<submission_id>/final                          401 404 200 200 404 404
GET    api/v1/submissions/<submission_id>/receipt                        401 404 200 200 200 404
GET    api/v1/submissions/<submission_id>/score                          401 404 200 200 200 404
GET    api/v1/uploads                                                    401 200 200 200 200 200
POST   api/v1/uploads                                                    401 201 201 201 201 403
DELETE api/v1/uploads/<uuid:upload_id>                                   401 404 404 204 404 404
HEAD   api/v1/uploads/<uuid:upload_id>                                   401 404 404 410 404 404
PATCH  api/v1/uploads/<uuid:upload_id>                                   401 404 404 415 404 404
GET    api/v1/webhooks                                                   401 200 200 200 200 200
POST   api/v1/webhooks                                                   401 201 201 201 201 201
DELETE api/v1/webhooks/<webhook_id>                                      401 404 404 200 404 404
GET    api/v1/webhooks/<webhook_id>                                      401 404 404 200 404 404
GET    api/v1/webhooks/<webhook_id>/deliveries                           401 404 404 200 404 404
POST   api/v1/webhooks/<webhook_id>/ping                                 401 404 404 200 404 404
GET    challenges/<slug:slug>/                                           200 200 200 200 200 200
POST   challenges/<slug:slug>/                                           405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:page_slug>                           200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:page_slug>                           405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/check.json               200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/check.json               405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/leaderboard.csv          200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/leaderboard.csv          405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/leaderboard.json         200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/leaderboard.json         405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/leaderboard/             200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/leaderboard/             405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/progress/                200 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/progress/                405 405 405 405 405 405
GET    challenges/<slug:slug>/<slug:phase_slug>/submit/                  302 200 200 200 200 200
POST   challenges/<slug:slug>/<slug:phase_slug>/submit/                  302 422 422 422 422 422
GET    challenges/<slug:slug>/desk/people/                               302 403 403 403 200 403
POST   challenges/<slug:slug>/desk/people/                               405 405 405 405 405 405
GET    challenges/<slug:slug>/desk/people/<str:act>/                     405 405 405 405 405 405
POST   challenges/<slug:slug>/desk/people/<str:act>/                     302 403 403 403 404 403
GET    challenges/<slug:slug>/join/                                      302 200 200 200 200 200
POST   challenges/<slug:slug>/join/                                      302 422 422 422 422 422
GET    challenges/<slug:slug>/news/                                      200 200 200 200 200 200
POST   challenges/<slug:slug>/news/                                      405 405 405 405 405 405
GET    challenges/<slug:slug>/news/atom.xml                              200 200 200 200 200 200
POST   challenges/<slug:slug>/news/atom.xml                              405 405 405 405 405 405
GET    challenges/<slug:slug>/submissions/                               302 200 200 200 200 200
POST   challenges/<slug:slug>/submissions/                               405 405 405 405 405 405
GET    challenges/<slug:slug>/team/                                      302 200 200 200 302 302
POST   challenges/<slug:slug>/team/                                      405 405 405 405 405 405
GET    challenges/<slug:slug>/team/<str:act>/                            405 405 405 405 405 405
POST   challenges/<slug:slug>/team/<str:act>/                            302 302 302 302 404 404
GET    challenges/<slug:slug>/teams/<int:pk>/                            200 200 200 200 200 200
POST   challenges/<slug:slug>/teams/<int:pk>/                            405 405 405 405 405 405
GET    challenges/<slug:slug>/training/                                  302 403 403 403 200 403
POST   challenges/<slug:slug>/training/                                  302 403 403 403 422 403
GET    challenges/<slug:slug>/training/<uuid:run_id>/                    302 403 403 403 200 403
POST   challenges/<slug:slug>/training/<uuid:run_id>/                    405 405 405 405 405 405
GET    challenges/<slug:slug>/training/<uuid:run_id>/cancel/             405 405 405 405 405 405
POST   challenges/<slug:slug>/training/<uuid:run_id>/cancel/             302 403 403 403 302 403
GET    challenges/<slug:slug>/training/<uuid:run_id>/live/               302 403 403 403 200 403
POST   challenges/<slug:slug>/training/<uuid:run_id>/live/               405 405 405 405 405 405
GET    challenges/<slug:slug>/training/<uuid:run_id>/requeue/            405 405 405 405 405 405
POST   challenges/<slug:slug>/training/<uuid:run_id>/requeue/            302 403 403 403 302 403
GET    challenges/<slug:slug>/training/compare/                          302 403 403 403 200 403
POST   challenges/<slug:slug>/training/compare/                          405 405 405 405 405 405
GET    credits/                                                          200 200 200 200 200 200
POST   credits/                                                          405 405 405 405 405 405
GET    healthz                                                           200 200 200 200 200 200
POST   healthz                                                           405 405 405 405 405 405
GET    help/                                                             200 200 200 200 200 200
POST   help/                                                             405 405 405 405 405 405
GET    invitations/<str:token>/                                          302 200 200 200 200 200
POST   invitations/<str:token>/                                          302 302 200 200 302 302
GET    preferences/                                                      405 405 405 405 405 405
POST   preferences/                                                      302 302 302 302 302 302
GET    submissions/<uuid:pk>/                                            302 404 200 200 200 404
POST   submissions/<uuid:pk>/                                            405 405 405 405 405 405
GET    submissions/<uuid:pk>/archive/                                    302 404 200 200 200 404
POST   submissions/<uuid:pk>/archive/                                    405 405 405 405 405 405
GET    submissions/<uuid:pk>/archive/remove/                             405 405 405 405 405 405
POST   submissions/<uuid:pk>/archive/remove/                             302 404 302 302 302 404
GET    submissions/<uuid:pk>/cancel/                                     405 405 405 405 405 405
POST   submissions/<uuid:pk>/cancel/                                     302 404 302 302 302 404
GET    submissions/<uuid:pk>/card.json                                   302 404 200 200 200 404
POST   submissions/<uuid:pk>/card.json                                   405 405 405 405 405 405
GET    submissions/<uuid:pk>/final/                                      405 405 405 405 405 405
POST   submissions/<uuid:pk>/final/                                      302 404 302 302 302 404
GET    submissions/<uuid:pk>/live/                                       302 404 200 200 200 404
POST   submissions/<uuid:pk>/live/                                       405 405 405 405 405 405
GET    submissions/<uuid:pk>/receipt.json                                302 404 200 200 200 404
POST   submissions/<uuid:pk>/receipt.json                                405 405 405 405 405 405
"""
# fmt: on
