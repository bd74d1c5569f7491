"""The pages' addresses.

An organiser's page has no closing slash, so that ``[rules](rules)`` in its Markdown leads from
one page to its neighbour; everything else has one.
"""

from __future__ import annotations

from django.urls import path

from challenge.web import (
    bundle_import,
    demo_mails,
    desk,
    desk_announcements,
    desk_challenge_export,
    desk_clone,
    desk_create,
    desk_documents,
    desk_duplicates,
    desk_exports,
    desk_health,
    desk_kit,
    desk_labels,
    desk_messages,
    desk_pages,
    desk_phases,
    desk_registrations,
    desk_results,
    desk_scores,
    desk_teams,
    desk_trail,
    site_pages,
    teams,
)
from challenge.web.accounts import accounts, webhooks
from challenge.web.challenges import calendar, challenges, client, feeds, home, kit, robots
from challenge.web.leaderboard import badge, results
from challenge.web.leaderboard import views as leaderboard
from challenge.web.submissions import (
    documents,
    downloads,
    patch_pictures,
    submissions,
    submitting,
)
from challenge.web.training import training

app_name = "web"

urlpatterns = [
    path("", home.home, name="home"),
    path("robots.txt", robots.robots, name="robots"),
    path("sitemap.xml", robots.sitemap, name="sitemap"),
    path(".well-known/security.txt", robots.security_text, name="security-text"),
    path("demo/mails/", demo_mails.mails, name="demo-mails"),
    path("status/", desk_health.status, name="status"),
    path("about/<str:site_page>/", site_pages.page, name="site-page"),
    path("about/<str:site_page>/edit/<str:language>/", site_pages.edit, name="site-page-edit"),
    path("logo", site_pages.logo, name="logo"),
    path("help/", home.help_page, name="help"),
    path("credits/", home.credits_page, name="credits"),
    path("starter.py", kit.starter_program, {"kind": "py"}, name="starter-script"),
    path("starter.ipynb", kit.starter_program, {"kind": "ipynb"}, name="starter-notebook"),
    path("client/<str:file_name>", client.wheel, name="client-wheel"),
    path("preferences/", home.preferences, name="preferences"),
    path("account/", accounts.profile, name="profile"),
    path("organise/", desk.organised, name="organise"),
    path("account/tokens/", accounts.tokens, name="tokens"),
    path("account/tokens/<int:pk>/revoke/", accounts.revoke_token, name="revoke-token"),
    path("account/webhooks/", webhooks.mine, name="webhooks"),
    path("account/webhooks/<int:pk>/", webhooks.detail, name="webhook"),
    path("account/webhooks/<int:pk>/ping/", webhooks.ping, name="ping-webhook"),
    path("account/webhooks/<int:pk>/delete/", webhooks.delete, name="delete-webhook"),
    path("account/data/", accounts.data, name="data"),
    path("account/data/export/", accounts.export, name="export"),
    path("account/data/delete/", accounts.delete, name="delete-account"),
    path("invitations/<str:token>/", teams.invitation, name="invitation"),
    path("challenges/import/", bundle_import.import_bundle, name="challenge-import"),
    path("challenges/new/", desk_create.new, name="challenge-new"),
    path("challenges/<slug:slug>/", challenges.overview, name="challenge"),
    path("challenges/<slug:slug>/join/", challenges.join, name="join"),
    path("challenges/<slug:slug>/news/", challenges.news, name="news"),
    path("challenges/<slug:slug>/news/atom.xml", feeds.announcements, name="news-feed"),
    path("challenges/<slug:slug>/dates.ics", calendar.dates, name="dates"),
    path("challenges/<slug:slug>/submissions/", submissions.mine, name="submissions"),
    path("challenges/<slug:slug>/team/", teams.manage, name="team-manage"),
    path("challenges/<slug:slug>/team/<str:act>/", teams.act, name="team-act"),
    path("challenges/<slug:slug>/teams/<int:pk>/", teams.team, name="team"),
    path("challenges/<slug:slug>/desk/", desk_phases.index, name="desk"),
    path("challenges/<slug:slug>/desk/labels/", desk_labels.labels, name="desk-labels"),
    path(
        "challenges/<slug:slug>/desk/labels/<str:act>/",
        desk_labels.act,
        name="desk-labels-act",
    ),
    path("challenges/<slug:slug>/desk/phases/", desk_phases.phases, name="desk-phases"),
    path("challenges/<slug:slug>/desk/phases/new/", desk_phases.new, name="desk-phase-new"),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/",
        desk_phases.phase,
        name="desk-phase",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/settle/",
        desk_phases.settle,
        name="desk-phase-settle",
    ),
    path("challenges/<slug:slug>/desk/task/", desk_create.task, name="desk-task"),
    path("challenges/<slug:slug>/desk/clone/", desk_clone.clone, name="desk-clone"),
    path(
        "challenges/<slug:slug>/desk/export/",
        desk_challenge_export.page,
        name="desk-challenge-export",
    ),
    path(
        "challenges/<slug:slug>/desk/export.zip",
        desk_challenge_export.download,
        name="desk-challenge-export-zip",
    ),
    path("challenges/<slug:slug>/desk/launch/", desk_create.check, name="desk-launch"),
    path(
        "challenges/<slug:slug>/desk/announcements/",
        desk_announcements.announcements,
        name="desk-announcements",
    ),
    path("challenges/<slug:slug>/desk/pages/", desk_pages.index, name="desk-pages"),
    path(
        "challenges/<slug:slug>/desk/pages/<slug:page_slug>/<slug:language>/",
        desk_pages.page,
        name="desk-page",
    ),
    path(
        "challenges/<slug:slug>/desk/versions/<int:pk>/",
        desk_pages.version,
        name="desk-page-version",
    ),
    path(
        "challenges/<slug:slug>/desk/preview/<slug:page_slug>/",
        desk_pages.preview,
        name="desk-preview",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/result/",
        desk_results.result,
        name="desk-result",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/certificates.zip",
        desk_exports.certificates_zip,
        name="desk-certificates",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/copy/",
        desk_results.copy_best,
        name="desk-copy",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/duplicates/",
        desk_duplicates.duplicates,
        name="desk-duplicates",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/kit/",
        desk_kit.kit,
        name="desk-kit",
    ),
    path(
        "challenges/<slug:slug>/desk/phases/<slug:phase_slug>/documents/",
        desk_documents.documents,
        name="desk-documents",
    ),
    path("challenges/<slug:slug>/desk/people/", desk.people, name="desk-people"),
    path("challenges/<slug:slug>/desk/people/teams/", desk_teams.teams, name="desk-teams"),
    path(
        "challenges/<slug:slug>/desk/people/teams/<int:pk>/",
        desk_teams.team,
        name="desk-team",
    ),
    path(
        "challenges/<slug:slug>/desk/people/teams/<int:pk>/<str:act>/",
        desk_teams.act,
        name="desk-team-act",
    ),
    path(
        "challenges/<slug:slug>/desk/people/registrations/",
        desk_registrations.registrations,
        name="desk-registrations",
    ),
    path(
        "challenges/<slug:slug>/desk/people/registrations/<int:pk>/",
        desk_registrations.decide,
        name="desk-registration",
    ),
    path(
        "challenges/<slug:slug>/desk/people/admission/",
        desk_registrations.admissions,
        name="desk-admission",
    ),
    path(
        "challenges/<slug:slug>/desk/people/admission/<str:act>/",
        desk_registrations.admission_act,
        name="desk-admission-act",
    ),
    path(
        "challenges/<slug:slug>/desk/people/messages/",
        desk_messages.messages,
        name="desk-messages",
    ),
    path(
        "challenges/<slug:slug>/desk/people/messages/<int:pk>/",
        desk_messages.message,
        name="desk-message",
    ),
    path(
        "challenges/<slug:slug>/desk/people/messages/<str:act>/",
        desk_messages.act,
        name="desk-messages-act",
    ),
    path("challenges/<slug:slug>/desk/people/<str:act>/", desk.act, name="desk-people-act"),
    path("challenges/<slug:slug>/desk/health/", desk_health.health, name="desk-health"),
    path("challenges/<slug:slug>/desk/trail/", desk_trail.trail, name="desk-trail"),
    path("challenges/<slug:slug>/desk/trail.csv", desk_trail.trail_csv, name="desk-trail-csv"),
    path("challenges/<slug:slug>/desk/scores/", desk_scores.index, name="desk-scores"),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/",
        desk_scores.phase,
        name="desk-rescore",
    ),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/submissions.csv",
        desk_exports.submissions,
        {"kind": "csv"},
        name="desk-submissions-csv",
    ),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/submissions.json",
        desk_exports.submissions,
        {"kind": "json"},
        name="desk-submissions-json",
    ),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/leaderboard.tex",
        desk_exports.latex_table,
        name="desk-leaderboard-tex",
    ),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/archives.zip",
        desk_exports.archives,
        name="desk-archives",
    ),
    path(
        "challenges/<slug:slug>/desk/scores/<slug:phase_slug>/<str:act>/",
        desk_scores.act,
        name="desk-rescore-act",
    ),
    path("challenges/<slug:slug>/training/", training.runs, name="training"),
    path("challenges/<slug:slug>/training/compare/", training.compare, name="training-compare"),
    path("challenges/<slug:slug>/training/<uuid:run_id>/", training.run, name="training-run"),
    path(
        "challenges/<slug:slug>/training/<uuid:run_id>/live/",
        training.live,
        name="training-live",
    ),
    path(
        "challenges/<slug:slug>/training/<uuid:run_id>/cancel/",
        training.cancel,
        name="cancel-training",
    ),
    path(
        "challenges/<slug:slug>/training/<uuid:run_id>/requeue/",
        training.requeue,
        name="requeue-training",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/leaderboard/",
        leaderboard.page,
        name="leaderboard",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/leaderboard.csv",
        leaderboard.as_csv,
        name="leaderboard-csv",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/leaderboard.json",
        leaderboard.as_json,
        name="leaderboard-json",
    ),
    path("challenges/<slug:slug>/<slug:phase_slug>/result/", results.page, name="result"),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/result.json",
        results.as_json,
        name="result-json",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/certificates/<int:pk>.pdf",
        results.certificate,
        name="certificate",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/documents/",
        documents.documents,
        name="documents",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/documents/<int:document_id>/",
        documents.download,
        name="document",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/result.csv",
        results.as_csv,
        name="result-csv",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/progress/",
        leaderboard.over_time,
        name="progress",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/records/atom.xml",
        feeds.records,
        name="records-feed",
    ),
    path("challenges/<slug:slug>/<slug:phase_slug>/submit/", submitting.submit, name="submit"),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/patches.csv",
        kit.patch_list,
        name="patch-list",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/sample.zip",
        kit.sample_archive,
        name="sample-archive",
    ),
    path("challenges/<slug:slug>/<slug:phase_slug>/kit.zip", kit.kit, name="kit"),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/teams/<int:pk>/badge.svg",
        badge.badge,
        name="badge",
    ),
    path(
        "challenges/<slug:slug>/<slug:phase_slug>/check.json",
        submitting.check_data,
        name="check-data",
    ),
    path("challenges/<slug:slug>/<slug:page_slug>", challenges.page, name="page"),
    path("submissions/<uuid:pk>/", submissions.detail, name="submission"),
    path("submissions/<uuid:pk>/live/", submissions.live, name="submission-live"),
    path("submissions/<uuid:pk>/card.json", submissions.card, name="submission-card"),
    path(
        "submissions/<uuid:pk>/pictures/<int:number>/<slug:kind>/",
        patch_pictures.picture,
        name="submission-picture",
    ),
    path("submissions/<uuid:pk>/receipt.json", submissions.receipt, name="submission-receipt"),
    path("submissions/<uuid:pk>/archive/", downloads.archive, name="submission-archive"),
    path(
        "submissions/<uuid:pk>/archive/remove/",
        submissions.remove_archive,
        name="remove-archive",
    ),
    path("submissions/<uuid:pk>/cancel/", submissions.cancel, name="cancel-submission"),
    path("submissions/<uuid:pk>/final/", submissions.choose_final, name="choose-final"),
]
