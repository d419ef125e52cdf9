# What the pages of administrators say. The names are those of the code.
# German.
admin-skip = Zum Inhalt springen
admin-sections = Bereiche
admin-overview = Übersicht
admin-keys = Schlüssel
admin-key = Schlüssel
admin-owners = Inhaber
admin-owner = Inhaber
admin-policies = Regeln
admin-notices = Mitteilungen
admin-notice = Mitteilung
admin-audit = Protokoll
admin-everywhere = alle Mandanten
admin-sign-in = Anmelden
admin-sign-out = Abmelden
admin-token = Token der Verwaltung
admin-token-note = Erstellt mit `lapsed admin token create`. Sie werden nach 15 Minuten ohne Nutzung und nach 8 Stunden abgemeldet.
admin-wrong-token = Dieses Token ist nicht gültig.
admin-too-many = Zu viele falsche Token. Warten Sie eine Minute und versuchen Sie es erneut.
admin-problem = Das hat nicht geklappt
admin-back = Zurück, für einen neuen Versuch
admin-problem-not-found = Hier ist nichts, oder Sie dürfen es nicht sehen.
admin-problem-forbidden = Ihr Token darf das nicht.
admin-problem-foreign-form = Dieses Formular kam nicht von einer Seite Ihrer Sitzung. Nichts wurde geändert.
admin-problem-malformed = Die Adresse oder das Formular ergibt keinen Sinn. Nichts wurde geändert.
admin-problem-wrong-name = Das ist nicht der Name. Nichts wurde geändert.
admin-problem-policy-violation = Die Regeln erlauben das nicht. Nichts wurde geändert.
admin-problem-key-expired = Der Schlüssel ist abgelaufen: Er kann erneuert, aber nicht verlängert werden.
admin-problem-key-revoked = Der Schlüssel ist bereits gesperrt.
admin-problem-stale = Jemand anderes hat das gleichzeitig geändert. Sehen Sie noch einmal nach.
admin-problem-otp-required = Ein Code Ihres zweiten Faktors ist nötig. Es wurde nichts geändert.
admin-problem-mfa-enrolment-required = Das braucht einen zweiten Faktor, und der Besitzer Ihres Tokens hat keinen eingerichtet: `lapsed otp setup` tut das. Es wurde nichts geändert.
admin-problem-otp-invalid = Das ist nicht der Code. Es wurde nichts geändert.
admin-problem-otp-replayed = Dieser Code ist verbraucht. Warten Sie auf den nächsten. Es wurde nichts geändert.
admin-problem-otp-locked = Zu viele falsche Codes. Es wurde nichts geändert.
admin-problem-otp-stopped = Zu viele falsche Codes: Ein Administrator muss Ihren zweiten Faktor zurücksetzen. Es wurde nichts geändert.
admin-problem-otp-held = Ihr zweiter Faktor wurde vor kurzem zurückgesetzt und gilt noch nicht. Es wurde nichts geändert.
admin-problem-unavailable = Die Datenbank ist gerade nicht erreichbar. Versuchen Sie es in einer Minute erneut.
admin-problem-internal = Etwas ist schiefgegangen; das Log sagt, was.
admin-attention = Braucht Aufmerksamkeit
admin-all-well = Nichts braucht Aufmerksamkeit.
admin-alert-unreachable =
    { $n ->
    [one] Ein Inhaber ist per E-Mail nicht erreichbar
    *[other] { $n } Inhaber sind per E-Mail nicht erreichbar
    }
admin-alert-notices =
    { $n ->
    [one] Eine Mitteilung konnte nicht zugestellt werden
    *[other] { $n } Mitteilungen konnten nicht zugestellt werden
    }
admin-alert-mails =
    { $n ->
    [one] Eine E-Mail ist gescheitert oder beiseitegelegt
    *[other] { $n } E-Mails sind gescheitert oder beiseitegelegt
    }
admin-alert-parked =
    { $n ->
    [one] Ein Schlüssel ist beiseitegelegt, weil seine Daten keinen Sinn ergeben
    *[other] { $n } Schlüssel sind beiseitegelegt, weil ihre Daten keinen Sinn ergeben
    }
admin-alert-deferred =
    { $n ->
    [one] Eine Löschung ist aufgeschoben
    *[other] { $n } Löschungen sind aufgeschoben
    }
admin-alert-held =
    { $n ->
    [one] Ein Schlüssel wird festgehalten und nicht gelöscht
    *[other] { $n } Schlüssel werden festgehalten und nicht gelöscht
    }
admin-alert-brake-expire = Die Bremse hält den Ablauf von { $n } Schlüsseln zurück: den Plan ansehen
admin-alert-brake-purge = Die Bremse hält die Löschung von { $n } Schlüsseln zurück: den Plan ansehen
admin-alert-clock = Nichts wird zerstört, solange an der Uhr gezweifelt wird:
admin-alert-paused = Alle Aufgaben sind angehalten:
admin-alert-purge-paused = Löschungen sind angehalten:
admin-alert-late = { $n } Schlüssel warten seit mehr als einer Stunde auf die Bearbeitung
admin-alert-mail = Der Mailversand ist gescheitert und ruht bis
admin-state = Zustand
admin-state-active = in Gebrauch
admin-state-expired = abgelaufen
admin-state-window = im Fenster
admin-state-revoked = gesperrt
admin-state-suspended = ausgesetzt
admin-state-damaged = beiseitegelegt
admin-state-parked = beiseitegelegt
admin-state-held = festgehalten
admin-state-deferred = Löschung aufgeschoben
admin-expiries = Was in den nächsten 90 Tagen abläuft
admin-chart-sum =
    { $n ->
    [0] In den nächsten 90 Tagen läuft kein Schlüssel ab.
    [one] In den nächsten 90 Tagen läuft ein Schlüssel ab.
    *[other] In den nächsten 90 Tagen laufen { $n } Schlüssel ab.
    }
admin-as-table = Dasselbe als Tabelle
admin-day = Tag (UTC)
admin-runs = Letzte Läufe
admin-job = Aufgabe
admin-started = Begonnen (UTC)
admin-outcome = Ergebnis
admin-examined = Geprüft
admin-changed = Geändert
admin-failed = Gescheitert
admin-nothing = Es gibt nichts.
admin-more = Weitere
admin-any = alle
admin-search = Name, Adresse oder ID
admin-tenant = Mandant
admin-environment = Umgebung
admin-kind = Art
admin-within = Läuft ab in Tagen
admin-filter = Filtern
admin-name = Name
admin-expires = Läuft ab (UTC)
admin-where = Wo
admin-last-used = Zuletzt benutzt (UTC)
admin-never = nie
admin-not-used = nie, soweit bekannt
admin-created = Erstellt (UTC)
admin-window-ends = Löschbar ab (UTC)
admin-purged = Gelöscht
admin-next = Was als Nächstes kommt
admin-timeline = Was geschehen ist
admin-extend = Verlängern
admin-extend-days = Tage ab jetzt
admin-hold = Festhalten
admin-hold-why = Warum er bleiben muss: Er endet wie jeder andere, wird aber nicht gelöscht
admin-release = Freigeben
admin-approve = Löschung freigeben
admin-approve-note = Nach seinen Regeln wird der Schlüssel erst nach diesem Wort gelöscht. Danach gibt es keinen Weg zurück.
admin-approved = Löschung
admin-approved-note = freigegeben
admin-kept-until = Dieser Eintrag bleibt bis (UTC)
admin-suspend = Aussetzen
admin-suspend-note = Alle seine Geheimnisse werden abgewiesen, und er kann nicht erneuert werden, bis die Aussetzung aufgehoben wird. Seine Fristen warten nicht. Eigentümer und Kontakte erfahren davon.
admin-unsuspend = Aussetzung aufheben
admin-revoke = Sperren
admin-revoke-note = Alle seine Geheimnisse werden ab dann abgelehnt. Das lässt sich nicht rückgängig machen.
admin-type-name = Geben Sie zur Bestätigung { $name } ein
admin-reason = Grund
admin-otp = Code Ihres zweiten Faktors
admin-otp-note = Sechs Ziffern von Ihrem Gerät, oder ein Wiederherstellungscode. Es ist der zweite Faktor des Besitzers Ihres Tokens.
admin-owner-employee = Mitarbeiter
admin-owner-contractor = Auftragnehmer
admin-owner-application = Anwendung
admin-mail = E-Mail
admin-refused = E-Mail abgelehnt
admin-stuck = Mail gescheitert oder beiseitegelegt
admin-all-keys = Alle ihre Schlüssel ansehen
admin-ending = Schlüssel, die enden würden
admin-and-more =
    { $n ->
    [one] Und ein weiterer.
    *[other] Und { $n } weitere.
    }
admin-access-ends = Zugang endet (UTC)
admin-no-end = kein Ende
admin-offboard = Zugang beenden
admin-offboard-note = Jeder Schlüssel, der länger gälte, endet damit, ohne Fenster. Sehen Sie zuerst die Vorschau an.
admin-offboard-when = An welchem Tag, um 00:00 UTC; leer heißt jetzt
admin-preview = Vorschau
admin-would-end =
    { $n ->
    [0] Kein Schlüssel würde früher enden, wenn der Zugang endete am
    [one] Ein Schlüssel würde früher enden, wenn der Zugang endete am
    *[other] { $n } Schlüssel würden früher enden, wenn der Zugang endete am
    }
admin-cancel = Abbrechen
admin-number = Nummer
admin-stage = Stufe
admin-due = Fällig (UTC)
admin-told = Mitgeteilt (UTC)
admin-attempts =
    { $n ->
    [one] ein Versuch
    *[other] { $n } Versuche
    }
admin-reply = Letzte Antwort
admin-retry = Erneut versuchen
admin-mail-preview = Die E-Mail
admin-mail-note = So, wie sie jetzt geschrieben würde, ohne den Link, der die Schlüssel des Inhabers öffnet.
admin-no-mail = Daraus lässt sich keine E-Mail mehr schreiben.
admin-action = Aktion
admin-when = Wann (UTC)
admin-who = Wer
admin-detail = Einzelheiten
admin-policies-note = Wählen Sie, wessen Regeln Sie sehen möchten. Eine Umgebung überlagert ihren Mandanten, und ein Mandant die Installation.
admin-in-effect = In Kraft
admin-field = Feld
admin-value = Wert
admin-notice-days = Vorlauf in Tagen, für Schlüssel, die zu lange lebten
admin-spread-days = Ihre neuen Termine verteilen über Tage
admin-origin-installation = von der Installation
admin-origin-tenant = vom Mandanten
admin-origin-environment = von der Umgebung
admin-origin-key = vom Schlüssel selbst
admin-rules = Regeln
admin-rules-above = Die Regeln seiner Umgebung
admin-try = Eine Änderung erproben
admin-try-note = Erproben ändert nichts. Ein Wert ist eine Zahl, eine Liste wie 30,7,1, true, false, never oder inherit.
admin-apply = Diese Änderung anwenden
admin-sim-days = Was in den nächsten 30 Tagen geschieht
admin-before = Jetzt
admin-after = Mit der Änderung
admin-sim-notices = Mitteilungen
admin-sim-expired = Ablaufende Schlüssel
admin-sim-suspended = Schlüssel, die ausgesetzt werden, von denen, die schon nichts benutzt
admin-sim-purged = Gelöschte Schlüssel
admin-sim-keys = { $n } Schlüssel wurden geprüft
admin-sim-next = { $n } hätten eine andere nächste Aktion
admin-sim-window = { $n } hätten ein anderes Fenster
admin-sim-long = { $n } gelten länger als dann erlaubt und behalten ihr Datum
admin-sim-shortened = { $n } würden früher enden, und ihre Besitzer erführen es; der erste am
admin-approvals = Freigaben
admin-approvals-note = Was etwas beendet oder schwächt, wartet hier auf eine zweite Person der Administration, wo die Richtlinie das verlangt. Ausgesetzt werden Schlüssel ohne das.
admin-alert-approvals =
    { $n ->
    [one] Eine Anfrage wartet auf eine zweite Person
    *[other] { $n } Anfragen warten auf eine zweite Person
    }
admin-wanted = Was gewünscht ist
admin-wanted-revoke-key = Einen Schlüssel widerrufen
admin-wanted-release-hold = Einen zurückgehaltenen Schlüssel freigeben
admin-wanted-approve-purge = Einen Schlüssel löschen lassen
admin-wanted-set-access = Einen Zugang beenden
admin-wanted-reset-otp = Einen zweiten Faktor zurücksetzen
admin-wanted-change-policy = Eine Richtlinie ändern
admin-wanted-release-brake = Einen Plan freigeben
admin-wanted-damaged = Eine beschädigte Anfrage
admin-approval-pending = wartet
admin-approval-approved = genehmigt
admin-approval-rejected = abgelehnt
admin-approval-expired = abgelaufen
admin-approval-void = hinfällig
admin-approval-until = Kann genehmigt werden bis (UTC)
admin-approval-own = Das haben Sie angefragt. Jemand anderes aus der Administration muss es genehmigen; Sie können es zurücknehmen.
admin-decided = Entschieden
admin-approve-request = Genehmigen
admin-reject = Ablehnen
admin-problem-same-person = Was Sie angefragt haben, muss jemand anderes genehmigen. Es wurde nichts geändert.
admin-problem-owner-required = Ihr Token hat keinen Besitzer, und zwei Personen müssen zu unterscheiden sein: Erstellen Sie eines mit `lapsed admin token create --owner`. Es wurde nichts geändert.
admin-problem-approval-decided = Über diese Anfrage ist schon entschieden.
admin-problem-approval-expired = Niemand hat diese Anfrage rechtzeitig genehmigt. Fragen Sie noch einmal.
admin-problem-approval-void = Diese Anfrage lässt sich nicht mehr so ausführen, wie sie gestellt wurde. Es wurde nichts geändert.
admin-guards = Was den Dienst aufhält
admin-guards-none = Nichts hält ihn auf.
admin-guards-who = Darüber entscheidet ein Administrator aller Mandanten.
admin-brake-expire = Die Bremse hält den Ablauf von { $n } Schlüsseln zurück
admin-brake-purge = Die Bremse hält die Löschung von { $n } Schlüsseln zurück
admin-brake-note = Sehen Sie erst nach, welche Schlüssel das sind. Freigegeben wird genau dieser Plan: Wird inzwischen einer seiner Schlüssel erneuert, verlängert oder gesperrt, ist es ein anderer, der wieder zurückgehalten wird.
admin-brake-release = Diesen Plan freigeben
admin-brake-released = Freigegeben: Der nächste Lauf führt ihn aus.
admin-since = Seit (UTC)
admin-hash = Hash des Plans
admin-clock = Der Uhr wird nicht geglaubt
admin-clock-until = So lange wird nichts zerstört. Geglaubt wird ihr wieder um (UTC)
admin-clock-apart = So lange wird nichts zerstört. Geglaubt wird ihr, wenn beide Uhren übereinstimmen: Stellen Sie die Uhr der Datenbank oder dieser Maschine richtig.
admin-clock-accept = Sie geht richtig: ihr glauben
admin-resume = Weitermachen
admin-problem-wrong-plan = Mit diesem Hash wird kein Plan mit so vielen Schlüsseln zurückgehalten. Er kann sich geändert haben: Sehen Sie noch einmal nach. Es wurde nichts freigegeben.
admin-problem-clock-apart = Die Uhren der Datenbank und dieser Maschine gehen auseinander, und das kann niemand bestätigen: Stellen Sie sie richtig.
admin-reminders = Erinnerungen vor einem Ablauf
admin-reminders-all = jede
admin-reminders-within = keine früher als { $n } Tage vorher
admin-reminders-last = nur die letzte
