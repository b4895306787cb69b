"""Words for emotions, genders and columns in several languages, by which a folder of recordings is guessed at."""

import unicodedata

_ONE_LETTER = {0x064A: "\u06cc", 0x0643: "\u06a9"} | dict.fromkeys(
    [0x093C, 0x09BC, 0x0A3C, *range(0x064B, 0x0653), 0x0670, 0x200C, 0x200D]
)


def plain(word: str) -> str:
    r"""Return a word in one spelling: Unicode form NFKC, without case, blanks at the ends, and marks often left out.

    Such marks are the nukta of Indian scripts and the vowel signs of Arabic ones. Arabic yeh and kaf, which keyboards
    write in place of those of Urdu and Persian, count as these.

    Examples:
        >>> plain(" Happy "), plain("re\u0301sume\u0301") == plain("R\u00e9sum\u00e9")
        ('happy', True)
        >>> plain("\u0917\u093c\u0941\u0938\u094d\u0938\u093e") == plain("\u0917\u0941\u0938\u094d\u0938\u093e")
        True
    """
    return unicodedata.normalize("NFKC", word).translate(_ONE_LETTER).casefold().strip()


def _index(table: dict[str, str]) -> dict[str, str]:
    return {plain(word): name for name, words in table.items() for word in words.split()}


EMOTIONS = _index(
    {
        "angry": (
            "angry anger ang angr rage cross enojo enfado ira ärger wut wütend zorn colère colere fâché "
            "rabbia arrabbiato raiva злость злой гнев kızgın öfke złość boos غصہ غصه غضب عصبانی خشم राग क्रोध "
            "aerger wuetend गुस्सा ਗੁੱਸਾ রাগ 愤怒 生气 怒り 怒 분노 화남"
        ),
        "bored": "bored boredom bor langeweile ennui noia aburrimiento скука 无聊",
        "calm": "calm cal ruhig calme calma спокойствие शांत 平静",
        "contempt": "contempt con verachtung mépris disprezzo desprecio презрение",
        "disgust": (
            "disgust disgusted dis ekel dégoût degout disgusto asco nojo отвращение tiksinti نفرت घृणा ਘਿਰਣਾ "
            "ঘৃণা 厌恶 嫌悪 혐오"
        ),
        "fearful": (
            "fear fearful fea afraid scared angst peur paura miedo medo страх испуг korku strach خوف ترس डर भय ਡਰ "
            "ভয় 恐惧 害怕 恐れ 공포"
        ),
        "happy": (
            "happy happiness hap joy joyful freude fröhlich glücklich joie heureux gioia felice alegría "
            "alegria felicidad радость счастье mutlu radość blij خوشی خوش شادی سعادة فرح सुख खुशी ख़ुशी हर्ष "
            "froehlich gluecklich радостный весёлый веселый ਖੁਸ਼ੀ ਖੁਸ਼ সুখ আনন্দ খুশি 高兴 快乐 开心 喜び 행복 기쁨"
        ),
        "neutral": (
            "neutral neu neut neutre neutro neutrale нейтральный нейтрально nötr obojętny neutraal عام "
            "غیرجانبدار طبیعی محايد सामान्य तटस्थ ਨਿਰਪੱਖ ਸਧਾਰਨ নিরপেক্ষ 中性 中立 平常 중립"
        ),
        "sad": (
            "sad sadness trauer traurig triste tristesse tristezza tristeza грусть грустный печаль üzgün smutek "
            "verdrietig اداس اداسی غم حزن दुख दुःख उदास उदासी दुखी ਉਦਾਸ ਦੁੱਖ দুঃখ দুঃখিত 悲伤 难过 悲しみ 슬픔"
        ),
        "surprised": (
            "surprise surprised sur surp ps überraschung überrascht sorpresa surpresa удивление şaşkın "
            "ueberraschung ueberrascht zdziwienie حیرت حیران تعجب مفاجأة आश्चर्य ਹੈਰਾਨੀ বিস্ময় 惊讶 驚き 놀람"
        ),
    }
)
"""Word in its plain spelling -> the English word that RAVDESS has for it, or a like one."""
LETTERS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "s": "sad",
    "sa": "sad",
    "su": "surprised",
}
"""Letters that many corpora write for emotions; what they stand for is a guess."""
GENDERS = _index(
    {
        "female": (
            "f female fem w woman weiblich frau femme féminin femenino mujer donna femminile ж жен женский "
            "kadın 女 여 عورت خاتون महिला ਔਰਤ মহিলা"
        ),
        "male": (
            "m male man masc männlich mann homme masculin masculino hombre uomo maschile м муж мужской erkek "
            "男 남 مرد पुरुष ਮਰਦ পুরুষ"
        ),
    }
)
"""Word or letter -> female or male."""
COLUMNS = _index(
    {
        "path": (
            "path file filename file_name filepath name wav audio recording clip id utterance_id datei "
            "fichier archivo файл فائل 文件 文件名 फ़ाइल ਫਾਈਲ"
        ),
        "emotion": (
            "emotion emotions label emo class category affect gefühl émotion emozione emoción emoção эмоция "
            "duygu جذبہ جذبات احساس भावना भाव ਭਾਵ ਭਾਵਨਾ আবেগ 情感 情绪 感情 감정"
        ),
        "speaker": (
            "speaker speaker_id speakerid spk spkid actor actor_id subject subject_id participant talker "
            "sprecher sprecherin locuteur parlante hablante диктор спикер konuşmacı بولنے_والا مقرر گوینده "
            "वक्ता ਬੁਲਾਰਾ বক্তা 说话人 話者 화자"
        ),
        "gender": "gender sex geschlecht sexe sesso sexo género пол cinsiyet جنس लिंग ਲਿੰਗ লিঙ্গ 性别 性別 성별",
        "sentence": (
            "sentence sentence_id sentenceid prompt prompt_id text_id satz phrase frase предложение cümle "
            "جملہ वाक्य ਵਾਕ বাক্য 句子 文 문장"
        ),
        "transcript": (
            "transcript transcription text words utterance transkript texte testo texto текст metin متن पाठ 文本"
        ),
        "session": (
            "session session_id sitzung séance sessione sesión sessão сессия сеанс oturum sesja سیشن सत्र ਸੈਸ਼ਨ সেশন "
            "会话 セッション 세션"
        ),
        "start": (
            "start start_time start_s begin onset von beginn anfang début debut inicio inizio начало başlangıç شروع "
            "शुरू 开始"
        ),
        "end": "end end_time end_s stop offset bis ende fin fine конец bitiş اختتام अंत 结束",
        "split": "split part partition subset fold set",
        "language": "language lang sprache langue lingua idioma язык dil زبان भाषा",
    }
)
"""Head of a column of a sheet -> the column of a corpus's CSV that it means."""


def role_of(head: str) -> str | None:
    """Return what the head of a column says that the column holds, None if it is no word that is known.

    Args:
        head: The head, in one of the languages of `COLUMNS`.

    Examples:
        >>> role_of("Start Time"), role_of("Sitzung"), role_of("remarks")
        ('start', 'session', None)
    """
    return COLUMNS.get(plain(head).replace(" ", "_"))
