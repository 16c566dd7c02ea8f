"""A third table of schemas as dataset cards have them, blind to how formats are detected: many languages, annotators,
weights and confidences beside labels, opposite labels, votes, teachers.

See `tests/format_published.py` for what an entry is and `tests/published_values.py` for the notation of its columns.
"""

# ruff: noqa: RUF001
from tests.published_values import read_table

PUBLISHED_3 = read_table("""
# Several annotators, confidences, weights, agreement
inference with five annotators: pair/class: premise_text, hypothesis_text > majority_label :: item_id=id n;
  premise_text=s14; hypothesis_text=~premise_text; majority_label=entailment|neutral|contradiction;
  annotator_1=entailment|neutral|contradiction; annotator_2=entailment|neutral|contradiction;
  annotator_3=entailment|neutral|contradiction
ratings of three and their mean: pair/similarity: sent_1, sent_2 > mean_rating :: sent_1=s; sent_2=~sent_1;
  rater_a=int 0 5; rater_b=int 0 5; rater_c=int 0 5; mean_rating=float 0 5
three raters without a mean: ? pair/similarity: left_sentence, right_sentence > rater_a :: left_sentence=s;
  right_sentence=~left_sentence; rater_a=int 0 5; rater_b=int 0 5; rater_c=int 0 5
label with confidence: pair/binary: query, passage > is_relevant :: query=q; passage=b; is_relevant=0|1;
  annotator_confidence=float 0.5 1; worker=id w; seconds_spent=int 4 240
label with weight: pair/binary: text_a, text_b > label :: text_a=s; text_b=~text_a; label=0|1;
  sample_weight=float 0.1 3
stance with agreement: pair/class: claim, tweet > stance :: tweet_id=int 100000000 999999999; claim=s; tweet=s18;
  stance=support|deny|query|comment; agreement=float 0.4 1; split=train|dev|test
list of annotator labels: ? pair/class: premise, hypothesis > labels :: uid=hash; premise=s; hypothesis=~premise;
  labels=[e|n|c]5; genre=fiction|travel|telephone
counts of each label: ? :: premise=s; hypothesis=~premise; n_entailment=int 0 100; n_neutral=int 0 100;
  n_contradiction=int 0 100
crowd sentiment: single/class: tweet_text > airline_sentiment :: tweet_id=int 100000000 999999999;
  airline_sentiment=positive|neutral|negative; airline_sentiment_confidence=float 0.3 1; retweet_count=int 0 40;
  tweet_text=s18; tweet_created=iso
# Instructions and prompts
constant instruction with triplets: triplet/none: query, positive, negative :: instruction=|Retrieve a passage that
  answers the question; query=q; positive=~~query; negative=b
few instructions: pair/none: query, document :: task_instruction=3*s14; query=q; document=~~query;
  task_name=nq|fever|quora
alpaca: ? pair/none: instruction, output :: instruction=q; input=s; output=b
constant prompt and a score: pair/similarity: query, doc > relevance_score :: system_prompt=|You are a judge of search
  results.; query=t4; doc=b; relevance_score=float 0 1
prompt with winner: ? :: prompt=q; response_a=b; response_b=b; winner=model_a|model_b|tie; judge=|gpt-4;
  turn=int 1 2
instruction following: may pair/none: prompt, completion :: prompt=q; completion=~~prompt; model_name=m-7b|m-13b;
  temperature=0.7|1.0; tokens=int 20 800
# Lists, negatives, teachers
positives and negatives as lists: list/binary list: query, pos, neg || n-tuple/none: query, pos, neg ::
  query_id=id q; query=q; pos=[b]; neg=[b]3
list of negatives with teacher scores: list/scores: query, pos, neg :: query=q; pos=[b]1; neg=[b]3;
  pos_scores=[float 0.5 1]1; neg_scores=[float 0 0.5]3
teacher's soft scores: list/scores: query, passages > teacher_scores :: query=q; passages=[b]4;
  teacher_scores=[float -8 12]4
teacher's margin: triplet/margin: query_text, positive_passage, negative_passage > ce_margin :: qid=int 1 99999;
  query_text=q; positive_passage=~~query_text; negative_passage=b; ce_margin=float -3 14
teacher's score of a pair: pair/similarity: query, passage > cross_encoder_score :: qid=int 1 99999;
  pid=int 1 999999; query=q; passage=b; cross_encoder_score=float -10 11
only negatives as list: ? :: question=q; hard_negatives=[b]3
answers and distractors: n-tuple/none: question, correct_answer, incorrect_answer_1, incorrect_answer_2 ||
  n-tuple/none: question, correct_answer, incorrect_answer_1, incorrect_answer_2 <> :: question=q;
  correct_answer=t3; incorrect_answer_1=t3; incorrect_answer_2=t3; category=history|science|sports
passages as dicts: ? :: query=q; positive_passages=[{docid=id d, text=b}]1; negative_passages=[{docid=id d, text=b}]3
passages as json text: ? :: query=q; ctxs=json[{title=h, text=b, score=float 0 1}]3; answers=json[t2]2
opinions without order: ? :: question=q; response_1=b; response_2=b; response_3=b
# Parts of one document, numbered texts, keys, ids
parts of a paper: ? :: paper_id=id p; title=h; abstract=b; introduction=b80; conclusion=b
numbered sentences of a story: ? :: storyid=uuid; storytitle=h; sentence1=s; sentence2=s; sentence3=s; sentence4=s;
  sentence5=s
multiple choice with key: ? :: question=q; A=t4; B=t4; C=t4; D=t4; answer=A|B|C|D; subject=law|physics|history
multiple choice with index: ? :: ctx=s20; endings=[s]4; gold_index=0|1|2|3; source_id=id s
ids and a grade: ? :: topic=int 1 50; iteration=|0; docno=id D; relevance=0|1|2
reading comprehension: may pair/none: question, context || pair/none: context, question :: id=hash; title=5*h;
  context=b60; question=q; answers={text=[t2]1, answer_start=[int 0 300]1}
ids, texts, urls: pair/none: question, answer :: doc_id=hash; url=url; question=q; answer=~~question;
  retrieved_at=iso; license=CC-BY|CC0; char_count=int 40 900
translation memory: pair/none: source_text, target_text <> :: tu_id=index; source_text=s; target_text=s.de;
  src_lang=|en; tgt_lang=|de; laser_score=float 1 1.3
sections of a manual: may pair/none: heading, body :: manual=8*h; heading=h; body=b; page=int 1 300
search log: pair/none: search_phrase, clicked_title :: session_id=hash; search_phrase=t3; clicked_title=~search_phrase;
  searched_at=iso; device=mobile|desktop
# Opposite labels, votes, answers about something else
distance of names: ? pair/similarity: name_a, name_b > levenshtein :: name_a=n; name_b=~name_a; levenshtein=int 0 15
different or not: pair/binary|class: title_a, title_b > are_different @no :: title_a=h6; title_b=~title_a;
  are_different=yes|no
non duplicates flagged: ? pair/binary: q1_text, q2_text > not_duplicate @0 :: q1_text=q; q2_text=~q1_text;
  not_duplicate=0|1
related words: pair/binary|class: sentence_a, sentence_b > verdict @related :: sentence_a=s; sentence_b=~sentence_a;
  verdict=related|unrelated
votes of a forum: may pair/none: question_body, answer_body ||
  pair/binary: question_body, answer_body > accepted :: question_body=b; answer_body=~~question_body;
  upvotes=int 0 900; downvotes=int 0 40; accepted=true|false
priority of a mail: may single/class: body > priority || single/class: subject > priority ||
  pair/none: subject, body :: mail_id=hash; subject=h; body=b; priority=low|medium|high
reading level of a pair: ? pair/none: original, simplified :: original=s16; simplified=~original;
  grade_level=int 1 12
boolean question: ? pair/none: question, passage :: question=q; passage=b50; answer=true|false
news with topics: single/class: article_text > topic :: article_id=index; article_text=b60;
  topic=politics|sports|business|culture; published=date; author=9*n
# Spanish, French, Italian, Portuguese
es, tickets: single/class: mensaje > departamento :: id_caso=id C; mensaje=b.es;
  departamento=Ventas|Soporte|Facturación; fecha=date
es, parafrasis: pair/binary|class: oracion_a, oracion_b > es_parafrasis @sí :: oracion_a=s.es; oracion_b=~oracion_a;
  es_parafrasis=sí|no; anotador=id a
es, preguntas con negativo: triplet/none: consulta, pasaje_positivo, pasaje_negativo :: consulta=q.es;
  pasaje_positivo=~~consulta; pasaje_negativo=b.es
fr, similarité: pair/similarity: phrase_1, phrase_2 > score_similarite :: identifiant=index; phrase_1=s.fr;
  phrase_2=~phrase_1; score_similarite=float 0 5; langue=|fr
fr, inférence: pair/class: prémisse, hypothèse > étiquette :: prémisse=s.fr; hypothèse=~prémisse;
  étiquette=implication|neutre|contradiction
fr, avis: single/class: commentaire > sentiment :: commentaire=b.fr; sentiment=positif|négatif|neutre; date_avis=date
it, domande e risposte: pair/none: domanda, risposta_corretta :: id_domanda=index; domanda=q.it;
  risposta_corretta=~~domanda; fonte=wiki|forum
it, implicazione: pair/class: premessa, ipotesi > etichetta :: premessa=s.it; ipotesi=~premessa;
  etichetta=implicazione|neutrale|contraddizione
pt, similaridade e classe: ? pair/similarity: premissa, hipotese > similaridade ||
  pair/class: premissa, hipotese > inferencia :: premissa=s.pt; hipotese=~premissa; similaridade=float 1 5;
  inferencia=nenhuma|implicação
pt, busca: pair/binary|class: termo_busca, descricao_produto > relevante @sim :: termo_busca=t3.pt;
  descricao_produto=b.pt; relevante=sim|não; data_clique=iso
# German, Dutch, Polish, Russian
de, Ausschreibungen: pair/similarity: Anfrage, Dokument > Relevanz :: Anfrage=t4.de; Dokument=b.de; Relevanz=0|1|2|3;
  Bearbeiter=id b
de, Übersetzungen: pair/none: Originaltext, Übersetzung <> :: Originaltext=s; Übersetzung=s.de; Quelle=EU|UN
de, Stimmung: single/class: Bewertungstext > Stimmung :: Bewertungstext=b.de; Stimmung=positiv|negativ|neutral;
  Datum=date
nl, tegenvoorbeeld: triplet/none: zoekvraag, relevant_document, irrelevant_document :: zoekvraag=q.nl;
  relevant_document=~~zoekvraag; irrelevant_document=b.nl
nl, gevolgtrekking: pair/class: premisse, hypothese > oordeel :: premisse=s.nl; hypothese=~premisse;
  oordeel=gevolg|neutraal|tegenspraak
pl, duplikaty: pair/binary|class: pytanie1, pytanie2 > czy_duplikat @tak :: pytanie1=q.pl; pytanie2=~pytanie1;
  czy_duplikat=tak|nie; data_dodania=date
pl, streszczenia: pair/none: artykuł, streszczenie <> :: artykuł=b60.pl; streszczenie=~artykuł; adres=url
ru, сходство: pair/similarity: предложение1, предложение2 > сходство :: ид=index; предложение1=s.ru;
  предложение2=~предложение1; сходство=float 0 5
ru, следование: pair/class: посылка, гипотеза > метка :: посылка=s.ru; гипотеза=~посылка;
  метка=следование|противоречие|нейтрально
ru, обращения: single/class: обращение > отдел :: номер=id N; обращение=b.ru; отдел=Продажи|Поддержка|Бухгалтерия
# Chinese, Japanese, Korean
zh, 相似度: pair/similarity: 句子1, 句子2 > 相似度 :: 编号=index; 句子1=s.zh; 句子2=~句子1; 相似度=float 0 5
zh, 客服: single/class: 用户问题 > 意图 :: 用户问题=q.zh; 意图=退款|物流|售后; 时间=iso
zh, 检索: pair/binary: 查询词, 文档内容 > 是否相关 :: 查询词=t3.zh; 文档内容=b.zh; 是否相关=0|1
ja, 言い換え: pair/binary|class: 文A, 文B > 同義か @はい :: 文A=s.ja; 文B=~文A; 同義か=はい|いいえ
ja, 検索: pair/similarity: 検索クエリ, 文書 > 関連度 :: 検索クエリ=t3.ja; 文書=b.ja; 関連度=0|1|2
ko, 질문과 답: pair/none: 질문, 답변 :: 번호=index; 질문=q.ko; 답변=~~질문; 작성일=date
ko, 유사도: pair/similarity: 문장1, 문장2 > 유사도 :: 문장1=s.ko; 문장2=~문장1; 유사도=float 0 5
ko, 추론: pair/class: 전제, 가설 > 레이블 :: 전제=s.ko; 가설=~전제; 레이블=함의|중립|모순
ko, 감정: single/class: 리뷰 > 감정 :: 리뷰=b.ko; 감정=긍정|부정|중립
ko, 검색: triplet/none: 검색어, 정답문서, 오답문서 :: 검색어=q.ko; 정답문서=~~검색어; 오답문서=b.ko
# Written after the mends for the above, blind again
gold with several coders: pair/class: tweet_a, tweet_b > gold_relation :: tweet_a=s; tweet_b=~tweet_a;
  coder1=agree|disagree|none; coder2=agree|disagree|none; gold_relation=agree|disagree|none
intent with its confidence: single/class: utterance > intent :: utterance=s; intent=refund|cancel|upgrade;
  intent_confidence=float 0.3 1; locale=en-US|en-GB
score with its deviation: pair/similarity: sentence1, sentence2 > similarity :: pair=index; sentence1=s;
  sentence2=~sentence1; similarity=float 0 5; similarity_std=float 0 1
faq in shop: pair/none: faq_question, faq_answer :: faq_id=id f; faq_question=q; faq_answer=~~faq_question; views=int
  3 9000; last_updated=date
mined titles with margin: pair/none: en_sentence, de_sentence <> :: en_sentence=s; de_sentence=s.de;
  labse_score=float 0.6 1
titles of one product: pair/binary: listing_title, catalog_title > is_match :: listing_id=id l; catalog_id=id c;
  listing_title=h8; catalog_title=~listing_title; is_match=true|false; matcher_score=float 0 1
hate speech: single/class: comment_text > label :: comment_id=uuid; comment_text=s18; label=hate|offensive|neither;
  annotator_id=id a
essay parts: ? :: essay_id=id e; prompt=q; introduction=b; body=b; conclusion=b
news summary: pair/none: article, highlights <> :: id=hash; article=b60; highlights=~article
clinical notes: ? :: note_id=id n; section=history|exam|plan; text=b; icd_codes=[id I]2
positives in a list: pair/none: query, positives || list/binary list: query, positives :: query=q; positives=[b]2
dpo: triplet/none: prompt, chosen, rejected :: prompt=q; chosen=~~prompt; rejected=b; score_chosen=float 5 10;
  score_rejected=float 0 5
es, noticias: single/class: titular > seccion :: titular=h8.es; seccion=Deportes|Cultura|Economía; enlace=url
es, implicación: pair/class: premisa, hipótesis > relación :: premisa=s.es; hipótesis=~premisa;
  relación=implicación|neutral|contradicción
fr, doublons: pair/binary|class: question_a, question_b > est_doublon @oui :: question_a=q.fr;
  question_b=~question_a; est_doublon=oui|non
fr, recherche: pair/binary: requête, titre_produit > cliqué :: requête=t3.fr; titre_produit=h.fr; cliqué=0|1;
  horodatage=iso
it, ricerca: triplet/none: ricerca, documento_rilevante, documento_irrilevante :: ricerca=q.it;
  documento_rilevante=~~ricerca; documento_irrilevante=b.it
pt, perguntas: pair/none: pergunta, resposta_correta :: pergunta=q.pt; resposta_correta=~~pergunta; fonte=A|B;
  data=date
de, Paare: pair/binary|class: Satz1, Satz2 > gleichbedeutend @ja :: Satz1=s.de; Satz2=~Satz1; gleichbedeutend=ja|nein
de, Rechtsfragen: pair/none: Rechtsfrage, Gesetzestext :: Aktenzeichen=id A; Rechtsfrage=q.de; Gesetzestext=b.de
nl, recensies: single/class: recensie > sentiment :: recensie=b.nl; sentiment=positief|negatief; datum=date
nl, overeenkomst: pair/similarity: tekst_a, tekst_b > overeenkomst :: tekst_a=s.nl; tekst_b=~tekst_a;
  overeenkomst=float 0 1
pl, wyszukiwanie: triplet/none: zapytanie, trafny_dokument, nietrafny_dokument :: zapytanie=q.pl;
  trafny_dokument=~~zapytanie; nietrafny_dokument=b.pl
pl, wynikanie: pair/class: przesłanka, hipoteza > etykieta :: przesłanka=s.pl; hipoteza=~przesłanka;
  etykieta=wynikanie|sprzeczność|neutralne
ru, тройки: triplet/none: запрос, положительный, отрицательный :: запрос=q.ru; положительный=~~запрос;
  отрицательный=b.ru
ru, перевод: pair/none: оригинал, перевод <> :: оригинал=s.ru; перевод=s; источник=A|B
zh, 蕴含: pair/class: 前提, 假设 > 标签 :: 前提=s.zh; 假设=~前提; 标签=蕴含|矛盾|中立
zh, 摘要: pair/none: 原文, 摘要 <> :: 原文=b.zh; 摘要=~原文; 发布时间=iso
ja, 翻訳: pair/none: 原文, 訳文 <> :: 原文=s.ja; 訳文=s; 出典=A|B
ja, 評判: single/class: レビュー > 評判 :: レビュー=b.ja; 評判=良い|悪い|普通
ko, 중복: pair/binary|class: 질문1, 질문2 > 중복여부 @예 :: 질문1=q.ko; 질문2=~질문1; 중복여부=예|아니오
ko, 요약: pair/none: 본문, 요약 <> :: 본문=b.ko; 요약=~본문; 출처=신문|방송
""")
