"""The request of `messages:send` as a declaration: every field that FCM v1 knows, and its type.

Source: the discovery document of fcm.googleapis.com v1, revision 20261023.
"""

from __future__ import annotations

from sandbox.fcm_json import (
    Check,
    boolean,
    duration,
    enum,
    float32,
    int32,
    message,
    repeated,
    string,
    strings,
    struct,
    timestamp,
)


def _each(check: Check, names: str) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)


_options = message("FcmOptions", analytics_label=string)
_light_settings = message(
    "LightSettings",
    color=message("Color", **_each(float32, "red green blue alpha")),
    **_each(duration, "light_on_duration light_off_duration"),
)
_priority = enum(
    "AndroidNotification.NotificationPriority",
    "PRIORITY_UNSPECIFIED PRIORITY_MIN PRIORITY_LOW PRIORITY_DEFAULT PRIORITY_HIGH PRIORITY_MAX",
)
_android_notification: dict[str, Check] = {
    **_each(string, "title body icon color sound tag click_action channel_id ticker image"),
    **_each(string, "title_loc_key body_loc_key"),
    **_each(repeated(string), "title_loc_args body_loc_args"),
    **_each(boolean, "sticky local_only"),
    **_each(boolean, "default_sound default_vibrate_timings default_light_settings"),
    "event_time": timestamp,
    "notification_count": int32,
    "vibrate_timings": repeated(duration),
    "light_settings": _light_settings,
    "notification_priority": _priority,
    "visibility": enum("AndroidNotification.Visibility", "VISIBILITY_UNSPECIFIED PRIVATE PUBLIC SECRET"),
}
_android_common: dict[str, Check] = {
    **_each(string, "collapse_key restricted_package_name"),
    **_each(boolean, "direct_boot_ok bandwidth_constrained_ok restricted_satellite_ok"),
    "ttl": duration,
    "data": strings,
    "fcm_options": _options,
}
_android = message(
    "AndroidConfig",
    **_android_common,
    priority=enum("AndroidConfig.AndroidMessagePriority", "NORMAL HIGH"),
    notification=message(
        "AndroidNotification",
        **_android_notification,
        proxy=enum("AndroidNotification.Proxy", "PROXY_UNSPECIFIED ALLOW DENY IF_PRIORITY_LOWERED"),
        bypass_proxy_notification=boolean,
    ),
)
_android_v2 = message(
    "AndroidConfigV2",
    **_android_common,
    remote_notification=message(
        "AndroidRemoteNotification",
        notification=message("AndroidNotificationV2", **_android_notification, id=int32),
        **_each(boolean, "mutable_content use_as_v1_data_message"),
    ),
    background_sync=message("AndroidBackgroundSyncMessage"),
)
_apns = message(
    "ApnsConfig",
    headers=strings,
    payload=struct,
    fcm_options=message("ApnsFcmOptions", **_each(string, "analytics_label image")),
    live_activity_token=string,
)
_webpush = message(
    "WebpushConfig",
    headers=strings,
    data=strings,
    notification=struct,
    fcm_options=message("WebpushFcmOptions", **_each(string, "link analytics_label")),
)

SEND_MESSAGE_REQUEST = message(
    "SendMessageRequest",
    validate_only=boolean,
    message=message(
        "Message",
        **_each(string, "name token fid topic condition"),
        data=strings,
        notification=message("Notification", **_each(string, "title body image")),
        fcm_options=_options,
        android=_android,
        android_v2=_android_v2,
        apns=_apns,
        webpush=_webpush,
    ),
)
