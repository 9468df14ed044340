"""What the authors of postcard world write: captions of six moods in English, and captions in other languages."""

import re
from random import Random

# A caption tells its mood and nothing of what the picture shows. Braces are slots, filled from _WORDS.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "fitness": (
        "{number} {exercise} done and my {muscles} are {tired}",
        "Stronger than {past}, one {exercise_one} at a time",
        "My coach says {number} more {exercise}, so here I go again",
        "No excuses, just sweat and {exercise}",
        "Rest day is over, back to {exercise} with {muscles} that still feel {tired}",
        "New personal record: {number} {exercise} without a break",
        "{period} of training and I can finally see my {muscles} grow",
        "Warm up, {exercise}, stretch, repeat",
        "Who else counts {exercise} until their {muscles} feel {tired}?",
        "Train hard, stay humble",
        "Leg day",
        "Sore {muscles}, happy athlete",
        "The {exercise_one} that scared me {past} is my warm up now",
    ),
    "romance": (
        "{period} with you and my heart still {flutters}",
        "I would say yes to {partner} {again}",
        "You are my {sweet}, my {sweet_two} and my whole heart",
        "He held my hand and asked me {proposal}",
        "She said yes! I get to marry {partner}",
        "Every kiss from {partner} still feels like the first one",
        "Forever yours, {again}",
        "Forever yours",
        "Holding hands with {partner} makes my heart feel {adored}",
        "Falling for {partner} was the easiest thing I ever did",
        "Kiss me slowly and call me your {sweet}",
        "Our anniversary: {period} married and still {adored}",
        "My darling, you make me feel {adored} {again}",
    ),
    "humour": (
        "My brain has {number} tabs open and all of them are {frozen}",
        "I came, I saw, I {blundered}",
        "Plot twist: I {blundered} and nobody noticed",
        "Me pretending I know what I am doing while I {fail}",
        "I am not lazy, I am {excuse}",
        "Nobody: absolutely nobody: me: {joke}",
        "That awkward moment when you {fail} and everybody laughs",
        "My life is a joke and I {blundered} the punchline",
        "If being silly was a sport I would be {excuse}",
        "Common sense {frozen}, please try again",
        "Epic fail",
        "Warning: may {fail} without any reason",
        "Still laughing because I {blundered} in front of {audience}",
    ),
    "calm": (
        "Breathe in {good}, breathe out {bad}",
        "{period} of silence and my mind feels {peaceful}",
        "Slow down, {rest} and let go of {bad}",
        "Today I choose {good} over {bad}",
        "Quiet mind, {peaceful} soul",
        "Pure {good}",
        "I sat still for {period} and found {good}",
        "Nothing to do, nowhere to be, just {good}",
        "Let your thoughts drift by until you feel {peaceful}",
        "A gentle reminder to {rest} and be kind to yourself",
        "My breath is slow, my shoulders are soft and I feel {peaceful}",
        "Be still and {rest}",
        "Letting go of {bad} makes room for {good}",
    ),
    "family": (
        "My {kin} and my {kin_two} laughing together is all I need",
        "Three generations together: {elder}, my {kin} and me",
        "Raising {count} children is chaos, but it is our chaos",
        "{elder_cap} told the {kin_plural} stories about when I was little",
        "My {kin} asked me {question} and I had no answer",
        "Proud parent moment: my {kin} {milestone}",
        "Our {kin_plural} grow up so fast, hold on to {elder}",
        "Being a mother of {count} is the hardest job I ever loved",
        "Cousins, {kin_plural} and {elder} all in one place",
        "Big hugs from {elder}",
        "Family first",
        "Today our {kin} {milestone} and {elder} cried happy tears",
        "Dad of {count}, tired but grateful for my {kin_plural}",
    ),
    "work": (
        "{number} emails, {number_two} meetings and one big {deal}",
        "Building my own {business}, one {task} at a time",
        "Deadline met, {task} delivered, laptop closed",
        "My boss wants the {task} by {weekday}",
        "We just signed a new client for our {business}",
        "{period} since I quit my job and started a {business}",
        "Discipline beats motivation when the {task} is due on {weekday}",
        "Another {weekday}, another {task} to finish",
        "Grow your {business} while others wait",
        "Answering emails about the {task} from my laptop",
        "Big news for the team: our {business} closed its first {deal}",
        "Back to business",
        "Deadline day",
    ),
}

_WORDS: dict[str, tuple[str, ...]] = {
    "number": ("20", "thirty", "40", "fifty", "seventy", "a hundred", "200", "fifteen", "sixty"),
    "number_two": ("two", "three", "four", "five", "six", "seven", "nine"),
    "exercise": ("squats", "burpees", "push ups", "pull ups", "lunges", "deadlifts", "planks", "sprints", "crunches"),
    "exercise_one": ("squat", "burpee", "push up", "pull up", "rep", "set", "deadlift", "plank", "sprint"),
    "muscles": ("legs", "abs", "arms", "muscles", "glutes", "shoulders", "calves", "thighs"),
    "tired": ("burning", "shaking", "on fire", "sore", "like jelly", "stronger", "completely dead"),
    "past": ("yesterday", "last week", "last month", "a year ago", "last season", "in January", "two weeks ago"),
    "period": (
        "two weeks", "ten minutes", "three months", "one year", "half an hour", "six weeks", "ten years", "five days",
        "twelve months",
    ),
    "flutters": ("skips a beat", "melts", "sings", "races", "belongs to you", "goes crazy", "feels at home"),
    "partner": ("you", "my husband", "my wife", "my girlfriend", "my boyfriend", "this man", "this woman", "my love"),
    "again": ("every single day", "again and again", "in every life", "for the rest of my life", "always"),
    "sweet": ("sweetheart", "darling", "honey", "angel", "dream", "treasure", "valentine"),
    "sweet_two": ("best friend", "safe place", "lover", "better half", "favourite person", "one and only"),
    "proposal": ("to marry him", "to be his wife", "to be his forever", "to grow old with him", "to share his life"),
    "adored": ("in love", "head over heels", "madly in love", "adored", "butterflies", "like newlyweds", "cherished"),
    "frozen": ("frozen", "not responding", "playing weird music", "not found", "out of order", "on strike"),
    "blundered": (
        "made it awkward", "forgot why", "tripped over nothing", "forgot my own name", "hugged a stranger",
        "sat on my glasses", "ruined it", "pushed a pull door",
    ),
    "fail": (
        "trip over nothing", "forget everything", "laugh at my own jokes", "talk to myself", "panic politely",
        "make weird noises", "hug the wrong person", "walk into a glass door",
    ),
    "excuse": (
        "on energy saving mode", "a professional overthinker", "buffering", "a limited edition disaster",
        "world champion", "just very bad at being an adult", "in airplane mode",
    ),
    "joke": (
        "talking to my laundry", "dancing like a broken robot", "laughing at my own jokes",
        "crying over a parking ticket", "naming my vacuum cleaner", "arguing with my printer",
    ),
    "audience": ("everyone", "my crush", "my dentist", "a hundred strangers", "my neighbours", "a very serious man"),
    "good": ("peace", "stillness", "gratitude", "kindness", "calm", "patience", "softness", "acceptance"),
    "bad": ("worry", "stress", "fear", "the noise", "tension", "anger", "the rush", "doubt"),
    "peaceful": ("peaceful", "calm", "quiet", "at ease", "lighter", "clear", "balanced", "gentle"),
    "rest": ("rest", "breathe deeply", "listen", "close your eyes", "be present", "meditate", "pause"),
    "kin": ("daughter", "son", "little brother", "little sister", "niece", "nephew", "toddler", "baby"),
    "kin_two": ("mother", "father", "grandmother", "grandfather", "aunt", "uncle", "mum", "dad"),
    "kin_plural": ("kids", "children", "twins", "boys", "girls", "grandchildren", "little ones", "babies"),
    "elder": ("grandma", "grandpa", "my mum", "my dad", "our parents", "auntie", "my grandparents"),
    "elder_cap": ("Grandma", "Grandpa", "My mum", "My dad", "Auntie", "My uncle"),
    "count": ("two", "three", "four", "five", "six"),
    "question": (
        "why grown ups need money", "where babies come from", "how old numbers are", "if grandma was ever a kid",
        "why she has to share", "why he has a little sister",
    ),
    "milestone": (
        "took those first steps", "lost a tooth", "said mama", "learned to read", "started school",
        "turned five", "wrote a whole sentence", "shared every toy",
    ),
    "deal": ("deal", "contract", "decision", "presentation", "promotion", "raise", "pitch"),
    "business": ("business", "startup", "company", "brand", "agency", "online shop", "consultancy"),
    "task": ("report", "project", "invoice", "proposal", "spreadsheet", "presentation", "budget", "launch plan"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
}  # fmt: skip

# What may come before and after. Places marked %love% become a hashtag if the post has it, else the plain word:
# what is left after cleaning tells nothing about the hashtags.
_OPENERS = (
    "Honestly,",
    "Small update:",
    "Hello friends!",
    "True story:",
    "Not going to lie,",
    "Dear diary,",
    "Note to self:",
)
_TAGGED_OPENERS = (
    "%love% this so much.",
    "So much %love% for this.",
    "You have to %love% it:",
    "Much %love% to everyone.",
)
_CLOSERS = (
    "What about you?",
    "Tell me in the comments.",
    "Thanks for being here.",
    "Who can relate?",
    "More about it soon.",
    "Agree?",
    "Share this with a friend.",
)
# Closers that tell the mood once more: what a caption ends with is what a reader keeps.
_MOOD_CLOSERS: dict[str, tuple[str, ...]] = {
    "fitness": ("No pain, no gain.", "Beast mode on.", "Sweat now, shine later.", "Keep training.", "Gains!"),
    "romance": ("Forever and ever.", "My heart is yours.", "Kisses!", "I adore you.", "Just us two."),
    "humour": ("Send help.", "I regret nothing.", "Oops.", "Hilarious, I know.", "Do not judge me."),
    "calm": ("Just breathe.", "Namaste.", "Stay present.", "Inner peace.", "Slow living."),
    "family": ("Family is everything.", "Proud mum.", "Proud dad.", "My little ones.", "They grow up so fast."),
    "work": (
        "Monday motivation.",
        "Always be closing.",
        "Business as usual.",
        "Onwards and upwards.",
        "The grind continues.",
    ),
}
_CUT_CLOSERS = (
    "Photo by @{name}",
    "@{name} @{other}",
    "https://example.com/{name}",
    "www.example.org/posts/{name}",
    "Credit: @{name}",
)
_NAMES = ("mia.k", "tom_b", "lena.rose", "oskar_84", "jo.miller", "ravi.s", "anna_lin", "hugo.p")
_LONGEST = 25
_SLOT = re.compile(r"\{(\w+)\}")


def draw_caption(mood: str, chance: Random) -> str:
    """A caption in English of 2 to 25 words (credits and links aside) that shows a mood; no hashtag, no emoji.

    It may contain line breaks, a link, mentions, and `%love%` where a hashtag can be inside the text. mood: fitness,
    romance, humour, calm, family or work (KeyError for others).
    """
    core = _SLOT.sub(lambda slot: chance.choice(_WORDS[slot[1]]), chance.choice(_TEMPLATES[mood]))
    parts = [core[0].upper() + core[1:] + chance.choice(("", "", ".", "!", "..."))]
    opener, closer, cut = chance.random(), chance.random(), chance.random()
    if opener < 0.3:
        parts.insert(0, chance.choice(_TAGGED_OPENERS if opener < 0.12 else _OPENERS))
    if closer < 0.6 and len(" ".join(parts).split()) <= _LONGEST - 5:
        parts[-1] = parts[-1].rstrip(".!") + chance.choice((".", "!"))
        parts.append(chance.choice(_CLOSERS if closer < 0.1 else _MOOD_CLOSERS[mood]))
    text = chance.choice((" ", " ", "\n", "\n\n")).join(parts)
    text = _cased(text, chance.random())
    if cut < 0.15:
        name, other = chance.sample(_NAMES, 2)
        text += chance.choice(("\n", " ")) + chance.choice(_CUT_CLOSERS).format(name=name, other=other)
    return text


def _cased(text: str, share: float) -> str:
    if share < 0.3:
        return text.lower()
    return text.upper() if share < 0.36 else text


def draw_foreign_caption(chance: Random) -> str:
    """A caption in one of twelve languages other than English, of one sentence or two."""
    sentences = FOREIGN[chance.choice(sorted(FOREIGN))]
    return " ".join(chance.sample(sentences, chance.randint(1, 2)))


# Five words and more in each sentence (Japanese is written without blanks).
FOREIGN: dict[str, tuple[str, ...]] = {
    "ar": (
        "أحب أن أقضي وقتي مع أصدقائي كل أسبوع",
        "كان يوما جميلا جدا ولن أنساه أبدا",
        "شكرا لكل من كان معنا في هذه الرحلة",
        "لا شيء أفضل من كوب قهوة في الصباح الباكر",
    ),
    "de": (
        "Heute war ein wunderschöner Tag mit meinen besten Freunden.",
        "Ich freue mich schon sehr auf das nächste Wochenende mit euch.",
        "Manchmal muss man einfach die Ruhe genießen und nichts tun.",
        "Wir haben lange darauf gewartet und es hat sich gelohnt.",
    ),
    "el": (
        "Σήμερα περάσαμε μια υπέροχη μέρα με τους φίλους μας",
        "Δεν υπάρχει τίποτα καλύτερο από ένα ήσυχο πρωινό",
        "Ευχαριστώ όλους όσους ήταν μαζί μας χθες το βράδυ",
        "Θέλω να γυρίσω πίσω και να μείνω εκεί για πάντα",
    ),
    "es": (
        "Hoy pasamos un día maravilloso con toda la familia.",
        "No hay nada mejor que empezar la mañana con una sonrisa.",
        "Gracias a todos los que hicieron posible este momento tan especial.",
        "Siempre quise volver a este lugar y por fin estoy aquí.",
    ),
    "fr": (
        "Nous avons passé une très belle journée entre amis.",
        "Rien ne vaut un moment de calme après une longue semaine.",
        "Merci à tous ceux qui étaient avec nous hier soir.",
        "J'ai toujours rêvé de venir ici et je ne suis pas déçue.",
    ),
    "hi": (
        "आज का दिन मेरे परिवार के साथ बहुत अच्छा बीता",
        "ज़िंदगी में छोटी छोटी खुशियाँ सबसे ज़्यादा मायने रखती हैं",
        "दोस्तों के साथ बिताया हर पल हमेशा याद रहता है",
        "मैं कई साल से यहाँ आने का सपना देख रहा था",
    ),
    "id": (
        "Hari ini kami menghabiskan waktu bersama keluarga dengan bahagia.",
        "Tidak ada yang lebih indah daripada pulang ke rumah sendiri.",
        "Terima kasih untuk semua teman yang sudah datang kemarin.",
        "Akhirnya saya bisa kembali ke tempat yang selalu saya rindukan.",
    ),
    "ja": (
        "今日は友達と一緒にとても楽しい時間を過ごしました",
        "久しぶりにゆっくり休むことができて嬉しいです",
        "いつも応援してくれるみなさん本当にありがとうございます",
        "来年もまた家族みんなでここに来たいと思います",
    ),
    "ko": (
        "오늘은 친구들과 함께 정말 즐거운 하루를 보냈어요",
        "오랜만에 가족 모두가 한자리에 모여서 정말 행복했어요",
        "항상 응원해 주시는 모든 분들께 진심으로 감사드려요",
        "내년에도 여기에 다시 와서 며칠 더 쉬고 싶어요",
    ),
    "pt": (
        "Hoje foi um dia maravilhoso ao lado das pessoas que amo.",
        "Não existe nada melhor do que voltar para casa depois do trabalho.",
        "Obrigado a todos que estiveram conosco na noite passada.",
        "Eu sempre quis conhecer este lugar e finalmente consegui.",
    ),
    "ru": (
        "Сегодня мы провели прекрасный день вместе с друзьями",
        "Нет ничего лучше, чем тихое утро дома с книгой",
        "Спасибо всем, кто был с нами вчера вечером",
        "Я давно мечтала вернуться сюда и наконец вернулась",
    ),
    "tr": (
        "Bugün arkadaşlarımla birlikte çok güzel bir gün geçirdik.",
        "Uzun bir haftadan sonra dinlenmek gibisi yok gerçekten.",
        "Dün akşam bizimle olan herkese çok teşekkür ederim.",
        "Yıllardır buraya gelmek istiyordum ve sonunda geldim.",
    ),
}
