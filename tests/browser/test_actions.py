"""Each thing that operators do in the console is done, and is in the audit log with its reason."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from deliveries.ledger import samples
from deliveries.models import ApiKey, AuditEntry, Brake, DeadLetter, DeadToken, Notification
from tests.browser import pages
from tests.browser.world import PASSWORD, status
from tests.world import eventually, query

pytestmark = pytest.mark.browser

REASON = "because the test says so"


def confirm(page: Page, button: str) -> None:
    if (reason := page.get_by_label("Reason")).count():
        reason.fill(REASON)
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_load_state()


def press_and_confirm(page: Page, button: str) -> None:
    """What stands on the page of one row."""
    page.get_by_role("link", name=button, exact=True).click()
    confirm(page, button)


def tick_and_confirm(page: Page, name: str, operation: str, button: str) -> None:
    """What is chosen in a list."""
    page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").check()
    page.get_by_role("combobox", name="Action").select_option(operation)
    page.get_by_role("button", name="Run").click()
    confirm(page, button)


def audited(action: str, subject: str) -> bool:
    return AuditEntry.objects.filter(action=action, subject=subject, actor="user root", reason=REASON).exists()


def test_a_notification_is_resent_from_the_list(visit, console):
    id = console.send("nodevice-pia")
    eventually(lambda: status(id) == "skipped")
    page = visit().look(pages.lists("deliveries_notification", q="nodevice-pia")())
    tick_and_confirm(page, id, "resend", "Resend")
    expect(page.locator("body")).to_contain_text("sent again")
    assert audited("resend", id)


def test_a_notification_that_waits_is_cancelled(visit, console):
    id = console.send("quota-rex")
    eventually(lambda: query("SELECT 1 FROM brakes WHERE notification_id = %s", id))
    page = visit().look(pages.one(pages.notification(notification_id=id))())
    press_and_confirm(page, "Cancel")
    eventually(lambda: status(id) == "cancelled")
    assert audited("cancel", id)


def test_a_dead_letter_is_redriven_and_another_discarded(visit, console):
    exhausted, poison = pages.exhausted_letter(), pages.letter()
    page = visit().look(pages.one(lambda: exhausted)())
    press_and_confirm(page, "Redrive")
    eventually(lambda: DeadLetter.objects.get(pk=exhausted.pk).state == "redriven")
    page.goto(pages.one(lambda: poison)())
    press_and_confirm(page, "Discard")
    eventually(lambda: DeadLetter.objects.get(pk=poison.pk).state == "discarded")
    assert audited("discard", str(poison.pk))


def test_a_dead_token_is_forgotten(visit, console):
    token = pages.token()
    page = visit().look(pages.one(lambda: token)())
    press_and_confirm(page, "Forget")
    eventually(lambda: not DeadToken.objects.filter(pk=token.pk).exists())


def test_a_dead_token_that_is_held_is_believed(visit, console):
    token = pages.token()
    DeadToken.objects.filter(pk=token.pk).update(held_at=timezone.now())
    page = visit().look(pages.one(lambda: token)())
    press_and_confirm(page, "Believe")
    eventually(lambda: DeadToken.objects.get(pk=token.pk).held_at is None)


def test_a_brake_is_lifted(visit, console):
    id = console.send("quota-sue")
    brake = eventually(lambda: Brake.objects.filter(notification_id=id).first())
    page = visit().look(pages.one(lambda: brake)())
    press_and_confirm(page, "Lift")
    eventually(lambda: not Brake.objects.filter(pk=brake.pk, until__gt=timezone.now()).exists())


def test_a_key_is_made_is_shown_once_and_is_revoked(visit, console):
    page = visit().look(pages.PAGES["new-key"]())
    page.get_by_label("Name").fill("browser")
    page.get_by_role("button", name="Make it").click()
    key = page.locator("pre.key").inner_text()
    assert len(key) > 40
    page.goto(pages.one(ApiKey.objects.filter(name="browser").first)())
    assert key not in page.content()
    press_and_confirm(page, "Revoke")
    eventually(lambda: ApiKey.objects.get(name="browser").revoked_at)


def test_a_provider_is_paused_and_resumed(visit, console):
    page = visit().look(pages.PAGES["pause"]())
    confirm(page, "Pause")
    expect(page.locator("#main")).to_contain_text("user root")
    id = console.send("ada")
    assert not query("SELECT 1 FROM push_deliveries WHERE notification_id = %s AND status = 'sent'", id)
    page.goto(reverse("admin:resume_provider", args=["fcm"]))
    confirm(page, "Resume")
    eventually(lambda: status(id) == "sent")
    assert audited("pause", "fcm") and audited("resume", "fcm")


def test_all_letters_of_a_reason_are_redriven_at_a_rate(visit, console):
    page = visit().look(pages.PAGES["dead-letters-by-reason"]())
    page.get_by_role("link", name="Redrive all").first.click()
    page.get_by_label("Letters a minute").fill("600")
    confirm(page, "Redrive")
    expect(page.locator("#main")).to_contain_text("will be redriven, 600 a minute")


def test_a_redrive_of_a_reason_is_stopped(visit, console):
    console.producer.publish(b"not JSON either")
    letter = eventually(lambda: DeadLetter.objects.filter(body=b"not JSON either", state="open").first())
    page = visit().look(pages.PAGES["dead-letters-by-reason"]())
    page.get_by_role("row").filter(has_text="not JSON").get_by_role("link", name="Redrive all").click()
    page.get_by_label("Letters a minute").fill("1")
    confirm(page, "Redrive")
    press_and_confirm(page, "Stop")
    expect(page.locator("#main")).not_to_contain_text("Redriving:")
    assert not DeadLetter.objects.filter(redrive_at__isnull=False).exists()
    assert DeadLetter.objects.get(pk=letter.pk).state == "open"
    assert audited("stop", "dead letters")


def test_all_letters_of_a_reason_are_discarded(visit, console):
    console.producer.publish(b'["nobody"]')
    letter = eventually(lambda: DeadLetter.objects.filter(body=b'["nobody"]', state="open").first())
    page = visit().look(pages.PAGES["dead-letters-by-reason"]())
    page.get_by_role("row").filter(has_text=letter.reasons[0]).get_by_role("link", name="Discard all").click()
    confirm(page, "Discard")
    expect(page.locator("#main")).to_contain_text("discarded.")
    assert DeadLetter.objects.get(pk=letter.pk).state == "discarded"


@pytest.mark.parametrize("scripts", [True, False], ids=["live", "without JavaScript"])
def test_a_list_is_narrowed_by_its_filters(scripts, visit, console):
    sent, failed = pages.notification(status="sent")(), pages.notification(status="failed")()
    page = visit(java_script_enabled=scripts).page
    page.goto(pages.PAGES["notifications"]())
    if scripts:
        page.get_by_role("button", name="Filters").click()
    page.get_by_label("By status").select_option("failed")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.get_by_role("link", name=failed.pk, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=sent.pk, exact=True)).to_have_count(0)


def test_who_is_given_a_role_sees_what_it_allows_and_no_more(visit, console):
    page = visit().look(reverse("admin:auth_user_add"))
    page.get_by_label("Username").fill("vera")
    page.locator("#id_password1").fill(PASSWORD)
    page.locator("#id_password2").fill(PASSWORD)
    page.get_by_label("viewer", exact=True).check()
    confirm(page, "Save")
    assert audited("user made", "vera")
    page = visit("vera").look(pages.PAGES["notification-failed"]())
    expect(page.locator("#timeline")).to_contain_text("Ended: failed")
    expect(page.locator("#main")).to_contain_text("is shown to the roles operator and admin")
    for button in ("Resend", "Unmasked"):
        expect(page.get_by_role("link", name=button, exact=True)).to_have_count(0)
    expect(page.locator("#nav-sidebar")).not_to_contain_text("Roles")


def test_a_body_is_seen_unmasked_and_the_look_is_written_down(visit, console):
    letter = pages.letter()
    page = visit().look(pages.raw(lambda: letter)())
    confirm(page, "Show it")
    expect(page.locator("pre").first).to_have_text(letter.body.decode())
    assert audited("look", str(letter.pk))


def test_a_push_is_seen_unmasked_and_the_look_is_written_down(visit, console):
    sent = pages.delivery(status="sent")()
    page = visit().look(pages.one(lambda: sent)())
    assert sent.device_token not in page.content()
    page.get_by_role("link", name="Unmasked", exact=True).click()
    confirm(page, "Show it")
    assert sent.device_token in page.inner_text("#main")
    assert audited("look", sent.notification_id)


def test_what_is_ticked_is_exported_without_a_token(visit, console):
    sent = pages.delivery(status="sent")()
    page = visit().look(pages.lists("deliveries_pushdelivery", q=sent.notification_id)())
    page.get_by_role("row").filter(has_text=sent.notification_id).first.get_by_role("checkbox").check()
    page.get_by_role("combobox", name="Action").select_option("export")
    with page.expect_download() as download:
        page.get_by_role("button", name="Run").click()
    file = download.value.path().read_text()
    assert sent.notification_id in file
    assert sent.device_token not in file


def test_one_click_removes_the_sample_history(visit, console):
    samples.seed(timezone.now())
    page = visit().look(pages.lists("deliveries_notification", q="sample-0001")())
    expect(page.locator(".badge-sample")).to_be_visible()
    page.get_by_role("button", name="Remove the sample history").click()
    expect(page).to_have_url(re.compile("/admin/$"))
    assert not Notification.objects.filter(source="sample").exists()
